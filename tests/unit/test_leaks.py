import pytest

from bench.knowledge.leaks import leak, readings, spoken, words

OWN = [
    ("wave", "One hand waves."),
    ("wave", "Waving above the head."),
    ("wave", "WAVED, twice"),
    ("clap", "The hands clapped."),
    ("hand waving", "A hand is waved to and fro."),
    ("wave hands", "Waves with both of her hands"),
    ("drink", "She drank from a cup."),
    ("sit down", "He sat slowly down."),
    ("stand up", "The person stood quickly up."),
    ("throw", "A ball is thrown."),
    ("brushing teeth", "The brush goes over one tooth."),
    ("ApplyEyeMakeup", "An eye, to which make-up is applied"),
    ("ApplyEyeMakeup", "Makeup is applied near the eyes."),
    ("WatchTV", "watching the TV"),
    ("draw_sword", "A sword is drawn."),
    ("Cook.Stir", "While cooking, a spoon stirs."),
    ("pullup", "a pull-up on a bar"),
    ("PushUps", "a pushup on the floor"),
    ("SkateBoarding", "a skateboard rolls"),
    ("YoYo", "the yo-yo falls"),
    ("put on a hat/cap", "putting a cap on"),
    ("put on a hat/cap", "the cap of wool"),
    ("nod head/bow", "a deep bow"),
    ("nod head/bow", "the head nods"),
    ("sneeze/cough", "coughs loudly"),
    ("make a phone call/answer phone", "answering the phone"),
    ("touch head (headache)", "shows a headache"),
    ("use a fan (with hand or paper)/feeling warm", "feels warm"),
    ("touch other person's pocket", "One touches the pocket of that person."),
    ("kicking something", "A leg kicks."),
    ("手を振る", "彼は 手を振る"),
]


@pytest.mark.parametrize(("name", "text"), OWN)
def test_a_statement_that_says_its_class_leaks(name, text):
    found = leak(text, name, [name, "somersault"])
    assert found and found[0] == name


NOT = [
    ("wave", "Water wavers."),
    ("wave hands", "Both hands go up."),
    ("sit down", "He sits on a chair."),
    ("stand up", "The person stands."),
    ("ApplyEyeMakeup", "One eye is closed."),
    ("Cook.Cleandishes", "A cook in a kitchen."),
    ("Leave", "The left hand rises."),
    ("check time (from watch)", "A watch on the wrist."),
    ("hopping (one foot jumping)", "Jumping high."),
    ("pullup", "The hands pull the body to the bar, up and up."),
    ("put on a hat/cap", "putting a shoe on"),
    ("the", "A hand goes up."),
    ("---", "A hand goes up."),
    ("punch", "x(punchline)"),
]


@pytest.mark.parametrize(("name", "text"), NOT)
def test_a_statement_that_does_not_say_its_class_is_no_leak(name, text):
    assert leak(text, name, [name]) is None


def test_another_class_is_named_only_by_a_whole_name():
    others = ["throw", "put on a hat/cap", "wave hands"]
    assert leak("A ball is thrown.", "catch", others) == ("throw", "throw")
    assert leak("A hand is waved.", "catch", others) == ("wave hands", "wave hands")
    assert leak("Puts the cap on.", "catch", others) == ("put on a hat/cap", "put on a cap")
    assert leak("The cap of the bottle.", "catch", others) is None
    assert leak("Both hands go up.", "catch", others) is None
    assert leak("", "catch", others) is None


def test_the_own_class_is_told_before_another():
    assert leak("He throws and catches.", "catch", ["throw", "catch"]) == ("catch", "catch")


def test_words_and_names():
    assert words("A  hand, goes—UP.") == words("a hand goes up") == ("a", "hand", "goes", "up")
    assert spoken("ApplyEyeMakeup") == "apply eye makeup" and spoken("draw_sword") == "draw sword"
    assert (
        spoken("WatchTV") == "watch tv" and spoken("Cook.Cleandishes") == "cook cleandishes" and spoken("---") == "---"
    )
    assert [n.told for n in readings("touch chest (stomachache/heart pain)").whole] == [
        "touch chest",
        "stomachache",
        "heart pain",
    ]
