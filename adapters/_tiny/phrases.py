# ruff: noqa: E501 - tables of words read better unwrapped
"""Words for the motion primitives: limb and geometric motion only, no name of any action.

Each entry: `moves` (what the limb does), `stays` (how it is held), `does` (what the person does with it, `{x}` = the limb).
Alternatives stand between bars. `[s]` is the verb's ending in the singular, `[is]` is "is" or "are", `[has]` likewise.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    moves: tuple[str, ...]
    stays: tuple[str, ...]
    does: tuple[str, ...]


def _p(moves: str, stays: str, does: str) -> Phrases:
    return Phrases(*(tuple(part.split("|")) if part else () for part in (moves, stays, does)))


ARM_PHRASES: dict[str, Phrases] = {
    "overhead": _p(
        "rise[s] straight up above the head|go[es] up overhead|reach[es] high into the air|move[s] up over the head",
        "[is] held high above the head|stay[s] overhead with a straight elbow|point[s] straight up|[is] stretched upward over the head",
        "raises {x} above the head|lifts {x} overhead|stretches {x} up to the sky|reaches up high with {x}",
    ),
    "sideways": _p(
        "lift[s] out to the side up to shoulder height|open[s] outward away from the body|go[es] out sideways to the level of the shoulders",
        "[is] held straight out to the side|stay[s] stretched sideways at shoulder height|point[s] out to the side|[is] spread wide and horizontal",
        "extends {x} out to the side|spreads {x} sideways at shoulder level|stretches {x} outward",
    ),
    "sideways_low": _p(
        "move[s] slightly out from the hips|lift[s] a little away from the side|open[s] diagonally downward",
        "[is] held low and away from the body|point[s] diagonally down and outward|stay[s] slightly out to the side",
        "holds {x} a little away from the body|lowers {x} diagonally outward",
    ),
    "sideways_high": _p(
        "rise[s] diagonally up and outward|go[es] up and out to the side|lift[s] above the shoulder away from the head",
        "[is] held diagonally up and out|point[s] up and outward above shoulder height|[is] stretched high to the side",
        "lifts {x} diagonally up and out|raises {x} up and away from the head",
    ),
    "front": _p(
        "lift[s] forward to shoulder height|go[es] straight out in front|rise[s] forward until level with the shoulders",
        "[is] held straight out in front of the body|stay[s] extended forward at shoulder height|point[s] straight ahead|[is] stretched forward with a straight elbow",
        "extends {x} straight ahead|raises {x} forward to chest height|stretches {x} out in front",
    ),
    "front_low": _p(
        "lift[s] slightly forward from the hips|go[es] forward and down|move[s] a little in front of the thighs",
        "[is] held low in front of the hips|stay[s] in front of the thighs|point[s] forward and down|reach[es] low in front of the legs",
        "holds {x} low in front of the body|reaches forward and down with {x}",
    ),
    "front_high": _p(
        "rise[s] forward and up|go[es] up in front above the face|lift[s] diagonally forward over head height",
        "[is] held forward and up|point[s] diagonally up in front|stay[s] stretched forward above the face",
        "reaches forward and up with {x}|lifts {x} in front above head height",
    ),
    "side_to_overhead": _p(
        "rise[s] sideways from shoulder height to above the head|go[es] up from the side over the head and come[s] down again|flap[s] between the side and overhead",
        "move[s] from the side up over the head",
        "lifts {x} from the side to overhead|moves {x} sideways up and down",
    ),
    "arc_overhead": _p(
        "go[es] from the hips out sideways and up over the head|draw[s] a wide arc at the side up to overhead|travel[s] in a big half circle from the thighs to above the head",
        "move[s] in a wide arc at the side",
        "lifts {x} sideways in a wide arc until overhead and lowers them|raises {x} out and up from the hips to over the head",
    ),
    "chest_to_front": _p(
        "extend[s] forward from the chest|move[s] straight forward away from the chest|shoot[s] out in front from a bent elbow|straighten[s] forward from the shoulder|thrust[s] ahead at chest height",
        "go[es] forward from the chest",
        "thrusts {x} forward from the chest|straightens {x} out in front|moves {x} away from the chest",
    ),
    "front_to_ribs": _p(
        "move[s] backward from the front to the ribs|come[s] back toward the body with the elbow going behind|draw[s] back from a stretched position to the waist|bend[s] as the elbow moves backward past the ribs",
        "come[s] back toward the body",
        "draws {x} back toward the ribs|brings {x} from the front back to the body|moves the elbow backward with {x}",
    ),
    "mouth": _p(
        "rise[s] to the mouth|move[s] to the face|go[es] up close to the lips|rise[s] to the chin",
        "[is] held at the mouth|stay[s] close to the face|[is] near the lips with a bent elbow",
        "brings {x} to the mouth|lifts {x} to the face|moves {x} toward the lips",
    ),
    "ear": _p(
        "rise[s] to the ear|move[s] to the side of the head|go[es] up next to the cheek|rise[s] beside the ear",
        "[is] held at the ear|stay[s] beside the head|[is] next to the cheek with a sharply bent elbow",
        "lifts {x} to the ear|brings {x} to the side of the head|holds {x} next to the ear",
    ),
    "forehead": _p(
        "come[s] up to the forehead|go[es] up to the brow|rise[s] to the temple|move[s] above the eyes",
        "[is] held at the forehead|stay[s] at the brow with the elbow out|touch[es] the temple",
        "brings {x} to the forehead|lifts {x} to the brow|touches the temple with {x}",
    ),
    "crown": _p(
        "come[s] up onto the top of the head|go[es] up to the crown of the head",
        "rest[s] on top of the head|[is] placed on the head with the elbow out",
        "puts {x} on top of the head|places {x} on the crown of the head",
    ),
    "chest": _p(
        "come[s] up in front of the chest|move[s] to the middle of the chest|fold[s] in front of the breast|bend[s] across the chest",
        "[is] held in front of the chest|stay[s] close to the chest with a bent elbow|[is] horizontal across the chest",
        "brings {x} in front of the chest|bends {x} across the chest|lifts {x} to chest height",
    ),
    "belly": _p(
        "come[s] in front of the belly|move[s] to the stomach|bend[s] in front of the waist",
        "[is] held in front of the belly|stay[s] at the stomach|rest[s] in front of the waist",
        "brings {x} to the belly|holds {x} in front of the stomach",
    ),
    "hip": _p(
        "come[s] to the hip|move[s] onto the waist|go[es] to the hip with the elbow out",
        "rest[s] on the hip|stay[s] at the waist with the elbow pointing out|[is] placed on the hip",
        "puts {x} on the hip|places {x} at the waist, elbow out",
    ),
    "shoulder": _p(
        "come[s] up to the shoulder|bend[s] until near the own shoulder|fold[s] up in front of the shoulder",
        "[is] held up in front of the shoulder|stay[s] folded near the shoulder with the elbow down|[is] kept close to the chin with a bent elbow",
        "brings {x} to the shoulder|keeps {x} folded in front of the shoulder|holds {x} up close to the chin",
    ),
    "curl": _p(
        "bend[s] at the elbow up to the shoulder and lower[s] again|move[s] up and down with the upper part still|fold[s] and unfold[s] at the elbow",
        "bend[s] at the elbow",
        "bends and straightens {x} at the elbow|moves {x} up to the shoulder and down",
    ),
    "level": _p(
        "come[s] up in front of the waist with a right angle at the elbow|bend[s] until the forearm is horizontal|lift[s] to waist height in front",
        "[is] held in front of the waist|stay[s] bent at a right angle in front of the body|keep[s] the forearm horizontal|[is] held at belly height in front",
        "holds {x} in front at waist height|keeps {x} bent in front of the body|bends {x} at a right angle",
    ),
    "opposite_shoulder": _p(
        "cross[es] the body to the opposite shoulder|move[s] over to the other shoulder|go[es] across the chest to the far side",
        "[is] held at the opposite shoulder|stay[s] across the body",
        "brings {x} across to the other shoulder|crosses {x} over the chest",
    ),
    "behind_head": _p(
        "go[es] behind the head|move[s] back behind the neck|bend[s] back over the shoulder",
        "[is] held behind the head|stay[s] behind the neck with the elbow up|[is] cocked back beside the head",
        "puts {x} behind the head|takes {x} back over the shoulder",
    ),
    "behind_back": _p(
        "go[es] behind the back|move[s] to the back of the waist",
        "[is] held behind the back|stay[s] at the back of the waist|[is] hidden behind the body",
        "puts {x} behind the back|holds {x} behind the waist",
    ),
    "backwards": _p(
        "move[s] backward behind the hips|reach[es] back and down|go[es] behind the body",
        "[is] stretched backward|stay[s] behind the hips|point[s] back and down",
        "stretches {x} backward|moves {x} behind the body",
    ),
    "bent_up": _p(
        "come[s] up beside the head with a bent elbow|lift[s] until the forearm points up|rise[s] next to the shoulder, forearm vertical",
        "[is] held up at the side with a right angle at the elbow|stay[s] beside the head, forearm vertical|[is] raised next to the shoulder",
        "lifts {x} beside the head with a bent elbow|raises {x} next to the shoulder, forearm up",
    ),
    "pendulum": _p(
        "swing[s] forward and backward beside the hips|go[es] back and forth like a pendulum|swing[s] from behind the body to the front",
        "swing[s] back and forth",
        "swings {x} forward and back|moves {x} to and fro past the hips",
    ),
    "underarm": _p(
        "swing[s] low from behind the hips up to the front|go[es] from behind the body down and forward|sweep[s] forward from below",
        "come[s] forward from below",
        "swings {x} low from behind to the front|moves {x} forward past the thigh",
    ),
    "overarm": _p(
        "go[es] from behind the head forward|move[s] over the shoulder to the front|snap[s] forward from beside the ear|fling[s] forward from above the shoulder",
        "move[s] forward over the shoulder",
        "brings {x} from behind the head to the front|flings {x} forward over the shoulder|moves {x} quickly forward from above the shoulder",
    ),
    "downstroke": _p(
        "come[s] down from above the head to the front of the hips|strike[s] downward in front|drop[s] from overhead to waist height",
        "move[s] downward in front of the body",
        "brings {x} down from overhead|strikes down with {x} in front",
    ),
    "sweep": _p(
        "sweep[s] across the front of the body|move[s] horizontally from the side to the other side|go[es] from outside across the chest",
        "sweep[s] across the body",
        "sweeps {x} across the body|moves {x} horizontally from side to side",
    ),
    "sway_high": _p(
        "move[s] from side to side above the head|sway[s] left and right overhead|rock[s] to and fro high in the air",
        "sway[s] above the head",
        "moves {x} left and right above the head|sways {x} overhead|shakes {x} from side to side in the air",
    ),
    "sway_face": _p(
        "move[s] from side to side beside the face|sway[s] left and right at head height|rock[s] to and fro next to the head with a bent elbow",
        "sway[s] at head height",
        "moves {x} left and right at face height|shakes {x} to and fro next to the head",
    ),
    "stroke": _p(
        "slide[s] sideways to and fro in front of the chest|move[s] left and right at chest height|go[es] back and forth across the breast with a bent elbow",
        "slide[s] to and fro in front of the chest",
        "slides {x} back and forth across the chest|moves {x} sideways in front of the chest",
    ),
    "beat": _p(
        "go[es] up and down in front of the body|move[s] vertically between waist and face|bounce[s] up and down in front",
        "move[s] up and down in front",
        "moves {x} up and down in front of the chest|beats up and down with {x}",
    ),
    "ring_front": _p(
        "draw[s] circles in front of the chest|turn[s] round and round in front of the body|go[es] around in a ring in front",
        "circle[s] in front of the body",
        "draws rings in front with {x}|moves {x} around in front of the chest",
    ),
    "ring_overhead": _p(
        "draw[s] circles above the head|turn[s] round and round overhead|go[es] around in a ring over the head",
        "circle[s] above the head",
        "moves {x} round and round over the head|draws rings overhead with {x}|rotates {x} above the head",
    ),
    "wheel": _p(
        "rotate[s] in big vertical circles|go[es] around the shoulder like a wheel|turn[s] over and over with a straight elbow|circle[s] up, forward, down and back",
        "rotate[s] around the shoulder",
        "rotates {x} in large circles at the side|turns {x} around the shoulder like a wheel",
    ),
    "down": _p(
        "reach[es] for the floor|go[es] down toward the feet|stretch[es] down past the knees|move[s] down to the ankles",
        "[is] stretched down to the floor|stay[s] near the feet|hang[s] down close to the ground",
        "reaches down to the floor with {x}|lowers {x} to the feet|touches the ground with {x}|brings {x} down to the toes",
    ),
    "meet": _p(
        "come together and separate before the chest|meet in the middle in front of the body|touch each other and part|close and open at chest level",
        "come together in front of the chest",
        "brings {x} together in front of the chest|closes and opens {x} in front|hits the palms together",
    ),
    "meet_high": _p(
        "come together and move apart above the head|meet overhead again and again|close and open over the head",
        "come together above the head",
        "brings {x} together above the head|closes and opens {x} overhead",
    ),
    "joined_chest": _p(
        "come together in front of the chest|join at the middle of the chest",
        "are held together in front of the chest|stay joined at the breast|are pressed together, palm to palm, before the chest",
        "holds {x} together in front of the chest|presses the palms together at the chest|joins {x} at the breast",
    ),
    "joined_overhead": _p(
        "come together above the head|join overhead in a round shape",
        "are held together above the head|stay joined overhead|form a ring over the head|are rounded above the head with the fingers close",
        "joins {x} above the head|holds {x} together overhead|forms a circle over the head with {x}",
    ),
    "joined_low": _p(
        "come together in front of the hips|join low in front of the thighs",
        "are held together in front of the hips|stay joined low before the thighs|hold one thing low in front",
        "holds {x} together in front of the hips|joins {x} low before the thighs",
    ),
    "joined_swing": _p(
        "swing together from one side to the other at hip height|move as one low across the body|sweep jointly left and right below the waist",
        "swing together low across the body",
        "swings {x} together across the body at hip height|moves {x} as one from side to side, low",
    ),
    "joined_swing_high": _p(
        "swing together from side to side at chest height|move as one across the body at shoulder height|sweep jointly left and right",
        "swing together across the chest",
        "swings {x} together at chest height|moves {x} as one from one side to the other",
    ),
    "crossed": _p(
        "cross in front of the chest|fold over each other",
        "are crossed in front of the chest|stay folded over each other",
        "folds {x} over the chest|crosses {x} in front of the body",
    ),
}

LEG_PHRASES: dict[str, Phrases] = {
    "step": _p(
        "the legs advance by turns|the feet move forward and back in alternation|one foot goes ahead of the other|the legs swing past each other|the feet stride",
        "",
        "steps along|makes steps with both legs|strides forward|moves the feet in turn",
    ),
    "knees_in_turn": _p(
        "the knees rise high in turn|one knee after the other lifts up to the hips|the feet leave the floor in turn with high knees",
        "",
        "lifts the knees high in alternation|marks time with the knees up",
    ),
    "squat": _p(
        "the knees bend and the hips go down|the body sinks low over bent knees|the hips drop toward the heels",
        "the knees stay deeply bent|the hips are kept low|the legs are bent with the body low|the thighs are half bent",
        "bends the knees and lowers the hips|goes down low|crouches",
    ),
    "seat": _p(
        "the hips sink backward onto a chair|the body is lowered until the thighs are horizontal|the knees bend to a right angle as the hips sink backward",
        "the hips rest on a chair|the body is seated with bent knees|the thighs are horizontal and the knees at a right angle|the person is on a chair",
        "lowers the hips onto a chair|takes a seat|goes down into a chair",
    ),
    "lunge": _p(
        "one foot moves far forward and its knee bends|one leg takes a long step ahead|the front knee bends while the back leg stretches",
        "one foot is far in front of the other|the legs are apart, one ahead and one behind|the front knee is bent and the back leg straight",
        "takes one long step forward|places one foot far ahead",
    ),
    "spread": _p(
        "the feet move wide apart|the legs go outward and inward again|both feet go outward",
        "the feet are wide apart|the legs are spread|the feet are set wider than the shoulders",
        "spreads the legs|opens and closes the legs sideways|sets the feet wide apart",
    ),
    "kick_front": _p(
        "one leg flies forward and up|one foot is thrust up in front|a straight leg lifts forward to hip height",
        "one leg is held out in front|one foot is up at hip height in front",
        "lifts one leg forward and up|thrusts one foot out in front",
    ),
    "kick_side": _p(
        "one leg lifts out to the side|one foot goes up sideways|a leg opens sideways off the floor",
        "one leg is held out to the side in the air|one foot is off the floor at the side",
        "lifts one leg sideways|raises a foot out to the side",
    ),
    "leg_back": _p(
        "one leg lifts backward behind the body|one foot goes up behind|a leg stretches back off the floor",
        "one leg is stretched backward in the air|one foot is off the floor behind the body",
        "lifts one leg behind the body|stretches one leg backward",
    ),
    "knee_up": _p(
        "one knee rises in front up to the hips|one foot lifts off the floor with a bent knee|one thigh comes up",
        "one knee is held up in front|one foot is off the floor and its knee bent|the body balances on one leg with a raised knee",
        "lifts one knee up|raises one thigh to hip height",
    ),
    "foot_to_knee": _p(
        "one foot comes up to the other knee|one leg folds outward and its foot goes to the other leg",
        "one foot rests at the knee of the other leg|the body is balanced on a single leg with the other knee out|one foot leans against the inner thigh",
        "puts one foot against the other knee|keeps balance on one leg",
    ),
    "hop": _p(
        "both feet leave the floor|the whole body bounces up off the ground|the body springs up and lands",
        "",
        "hops up and down|springs off the floor|bounces with both feet",
    ),
    "kneel": _p(
        "one knee goes down to the floor|the body gets down onto one knee",
        "one knee is on the floor|the body rests on one knee",
        "gets down on one knee|lowers one knee to the ground",
    ),
    "cross_behind": _p(
        "one foot crosses behind the other and the knees bend|one leg steps back across the other",
        "one foot is crossed behind the other leg|the legs are crossed with bent knees",
        "crosses one leg behind the other|puts one foot back and across",
    ),
}

TRUNK_PHRASES: dict[str, Phrases] = {
    "bend": _p(
        "the trunk tilts forward|the upper body leans to the front from the hips|the back inclines to the front|the head and shoulders go forward and down",
        "the trunk is slanted forward|the upper body is kept leaning forward|the back is tilted to the front",
        "leans forward|bends forward at the hips|inclines the upper body",
    ),
    "bend_deep": _p(
        "the trunk bends down deeply|the upper body folds forward until horizontal|the head goes down to the level of the hips|the back bends far forward and down",
        "the trunk is horizontal|the upper body is folded far forward|the head is as low as the hips",
        "bends down deeply|folds the body forward at the hips|bends over toward the floor",
    ),
    "lean_side": _p(
        "the trunk leans to the side|the upper body tilts sideways|the hips and ribs move from side to side",
        "the trunk is tilted sideways|the upper body leans to one side",
        "leans sideways|tilts the upper body from side to side|sways the hips",
    ),
    "lean_back": _p(
        "the trunk leans backward|the upper body tilts back|the shoulders go behind the hips",
        "the trunk is inclined backward|the upper body stays leaning back",
        "leans back|tilts the upper body backward",
    ),
    "twist": _p(
        "the shoulders turn to the side|the trunk rotates left and right|the upper body twists around",
        "the shoulders are turned to one side|the trunk is twisted",
        "twists the trunk|turns the shoulders to the side|rotates the upper body",
    ),
}  # fmt: skip

# Ways back from a primitive, for the mode `lower`.
LEGS_BACK: dict[str, tuple[str, ...]] = {
    "squat": ("the hips come up from low", "the bent knees straighten and the body rises"),
    "seat": (
        "the hips leave the chair",
        "the body gets up from a chair",
        "bent knees straighten until the person is tall",
        "the body rises from a low seated position to full height",
    ),
    "kneel": ("the knee leaves the floor and the body rises", "the body gets up from one knee"),
}
TRUNK_BACK = ("the upper body comes up from a tilt", "the trunk straightens up", "the back becomes upright again")

IDLE: dict[str, tuple[str, ...]] = {
    "arms": (
        "both arms hang down at the sides", "the arms stay still beside the body", "the hands stay low next to the thighs",
        "the arms are relaxed", "the arms do nothing",
    ),
    "arm": ("the other arm hangs down", "only one arm moves", "the other hand stays low at the side", "a single hand is used"),
    "legs": (
        "the legs stay still", "the feet stay on the floor", "the legs are straight", "the knees are straight",
        "the lower body does not move", "both feet are planted",
    ),
    "trunk": (
        "the trunk stays upright", "the back is straight", "the upper body is vertical", "the torso does not move",
        "the trunk stays still",
    ),
}  # fmt: skip
