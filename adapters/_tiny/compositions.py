"""Random compositions of motion primitives for pre-training; the toy set's actions are held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.datasets._actions import held_out
from bench.datasets._clips import Body, Clip, Move, sample_body
from bench.datasets._primitives import ARMS, LEGS, TRUNK

# Which parts of the body are busy, and how often.
_BUSY: tuple[tuple[tuple[str, ...], float], ...] = (
    (("arms",), 0.36),
    (("legs",), 0.12),
    (("trunk",), 0.07),
    (("arms", "legs"), 0.22),
    (("arms", "trunk"), 0.13),
    (("legs", "trunk"), 0.05),
    (("arms", "legs", "trunk"), 0.05),
)


class Sampler:
    """Draws compositions; primitives come in shuffled rounds, so that none is rare.

    Attributes:
        rejected: how many draws held the composition of a held-out action.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rejected = 0
        self._decks: dict[str, list[str]] = {}

    def _deal(self, deck: str, names: list[str]) -> str:
        """The next of `names`, each once a round."""
        cards = self._decks.setdefault(deck, [])
        if not cards:
            cards.extend(names[i] for i in self.rng.permutation(len(names)))
        return cards.pop()

    def _choice(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def _arm(self, part: str, primitive: str, modes: tuple[str, ...], phase: float) -> Move:
        return Move(
            part=part,
            primitive=primitive,
            mode=self._choice(modes),
            cycles=float(self.rng.uniform(0.8, 4.0)),
            phase=phase,
        )

    def _arms(self, bent: bool) -> list[Move]:
        rng = self.rng
        names = [name for name in ARMS if name != "down" or bent]
        phase = float(rng.uniform())
        if bent and rng.random() < 0.35:  # what hands mostly do in a bent body
            first = "down"
        else:
            first = self._deal("arms", names)
        kind = rng.random()
        if ARMS[first].both_only or kind < 0.4:
            modes = tuple(mode for mode in ARMS[first].modes if mode != "pulse")
            left = self._arm("left_arm", first, modes, phase)
            return [left, replace(left, part="right_arm")]
        if kind < 0.52 and {"cycle", "pulse", "circle"} & set(ARMS[first].modes):
            turns = tuple(mode for mode in ARMS[first].modes if mode in ("pulse", "cycle", "circle"))
            left = self._arm("left_arm", first, turns, phase)
            return [left, replace(left, part="right_arm", phase=phase + 0.5)]
        modes = tuple(mode for mode in ARMS[first].modes if mode != "pulse")
        part, other = ("left_arm", "right_arm") if rng.random() < 0.5 else ("right_arm", "left_arm")
        moves = [self._arm(part, first, modes, phase)]
        if kind > 0.84:
            second = self._deal("second arm", [name for name in ARMS if not ARMS[name].both_only and name != "down"])
            if second != first:
                modes = tuple(mode for mode in ARMS[second].modes if mode not in ("pulse", "lower"))
                moves.append(self._arm(other, second, modes, float(rng.uniform())))
        return moves

    def _draw(self) -> tuple[Move, ...]:
        rng = self.rng
        busy = _BUSY[int(rng.choice(len(_BUSY), p=[weight for _, weight in _BUSY]))][0]
        moves: list[Move] = []
        low = False
        if "legs" in busy:
            name = self._deal("legs", list(LEGS) + ["step", "seat", "seat", "squat"])
            part = self._choice(("left_leg", "right_leg")) if LEGS[name].one_sided else "legs"
            cycles = float(rng.uniform(1.0, 4.0))
            moves.append(
                Move(
                    part=part,
                    primitive=name,
                    mode=self._choice(LEGS[name].modes),
                    cycles=cycles,
                    phase=float(rng.uniform()),
                )
            )
            low = name in ("squat", "kneel")
        if "trunk" in busy:
            name = self._deal("trunk", [*TRUNK, "bend_deep"])
            side = 1 if rng.random() < 0.5 else -1
            cycles = float(rng.uniform(0.8, 3.0))
            moves.append(
                Move(part="trunk", primitive=name, mode=self._choice(TRUNK[name].modes), cycles=cycles, side=side)
            )
            low = low or name in ("bend", "bend_deep")
        if "arms" in busy:
            arms = self._arms(low)
            lead = next((move for move in moves if move.part == "trunk" or move.primitive in ("squat", "kneel")), None)
            if arms[0].primitive == "down" and lead is not None:  # the hand goes down as the body does
                mode = lead.mode if lead.mode in ARMS["down"].modes else "hold"
                arms = [replace(arm, mode=mode, cycles=lead.cycles, phase=lead.phase) for arm in arms]
            moves = arms + moves
        return tuple(moves)

    def moves(self) -> tuple[Move, ...]:
        """Moves whose composition holds no action of the toy set."""
        while True:
            moves = self._draw()
            if held_out(moves) is None:
                return moves
            self.rejected += 1

    def clip(self) -> Clip:
        """A clip of such moves by a random person before a random camera."""
        rng = self.rng
        body: Body = sample_body(rng, spread=1.15)
        moves = self.moves()
        assert held_out(moves) is None, f"a held-out composition reached pre-training: {moves}"
        return Clip(
            body=body,
            moves=moves,
            amplitude=float(rng.uniform(0.75, 1.1)),
            jitter=float(rng.uniform(0.0, 0.022)),
            ramp_in=float(rng.uniform(0.05, 0.3)) if rng.random() < 0.4 else 0.0,
            ramp_out=float(rng.uniform(0.05, 0.25)) if rng.random() < 0.3 else 0.0,
        )
