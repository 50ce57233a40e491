import json

import pytest

from bench.contracts import BenchError
from bench.knowledge import KINDS, MAX_CHARACTERS, STATUSES, bank_names, load, statements, statements_digest

GOOD = {"text": "a hand goes up", "kind": "motion", "origin": "me", "status": "accepted"}
NAMES = ("clap", "jump", "wave", "sit", "walk", "bow")


@pytest.fixture
def write(tmp_path):
    """Write a bank's classes, or a text as it is; returns the path."""

    def to_file(classes, **more):
        path = tmp_path / "mine.json"
        text = (
            classes
            if isinstance(classes, str)
            else json.dumps({"schema": 1, "dataset": "mine", "about": "", "classes": classes, **more})
        )
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        return str(path)

    return to_file


def changed(**fields):
    return {"wave": [GOOD, {**GOOD, **fields}]}


STATEMENT_FAULTS = {
    "empty": (changed(text=""), "0 characters; it needs 1 to"),
    "blank": (changed(text=" \n\t "), "0 characters; it needs 1 to"),
    "ten thousand characters": (changed(text="a" * 10_000), f"10000 characters; it needs 1 to {MAX_CHARACTERS}"),
    "a NUL": (changed(text="a hand\0 goes up"), "control character"),
    "a line break": (changed(text="a hand\ngoes up"), "control character"),
    "an escape": (changed(text="a hand\x1b[31m goes up"), "control character"),
    "a C1 control character": (changed(text="a hand\x9b goes up"), "control character"),
    "half a surrogate pair": (changed(text="a hand \ud800"), "control character"),
    "a number for a text": (changed(text=3), "text, kind, origin and status"),
    "no text": ({"wave": [GOOD, {}]}, "text, kind, origin and status"),
    "a bare sentence": ({"wave": [GOOD, "a hand goes up"]}, "text, kind, origin and status"),
    "an unknown kind": (changed(kind="feeling"), "the kind 'feeling' is none of appearance, motion"),
    "an unknown status": (changed(status="ok"), "the status 'ok' is none of proposed, accepted"),
    "no origin": (changed(origin=""), "the origin is missing"),
}


@pytest.mark.parametrize("fault", STATEMENT_FAULTS)
def test_a_fault_in_a_statement_names_file_class_and_statement(fault, write):
    classes, said = STATEMENT_FAULTS[fault]
    path = write(classes)
    with pytest.raises(BenchError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}, class 'wave', statement 2: ")
    assert said in str(error.value)


FILE_FAULTS = {
    "not JSON": ("{'schema': 1}", "no readable knowledge bank"),
    "empty": ("", "no readable knowledge bank"),
    "a list": ("[]", "no knowledge bank of schema 1"),
    "no classes": ('{"schema": 1}', "no knowledge bank of schema 1"),
    "classes as a list": ('{"schema": 1, "classes": []}', "no knowledge bank of schema 1"),
    "another schema": ('{"schema": 2, "classes": {}}', "no knowledge bank of schema 1"),
    "a class twice": ('{"schema": 1, "classes": {"wave": [], "bow": [], "wave": []}}', "'wave' is there twice"),
    "a class that is no list": ('{"schema": 1, "classes": {"wave": {"text": "x"}}}', "'wave'"),
    "a class that is a number": ('{"schema": 1, "classes": {"wave": 3}}', "'wave'"),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_fault_in_a_file_names_it(fault, write):
    text, said = FILE_FAULTS[fault]
    path = write(text)
    with pytest.raises(BenchError) as error:
        load(path)
    assert path in str(error.value) and said in str(error.value)


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(b'{"schema": 1, "classes": {"\xff": []}}')
    with pytest.raises(BenchError, match="no readable knowledge bank"):
        load(str(path))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="there is no knowledge bank .*nowhere.json"):
        load(str(tmp_path / "nowhere.json"))


def test_an_unknown_name_is_an_error_with_the_near_ones():
    with pytest.raises(BenchError, match="unknown knowledge bank 'utkinekt'; did you mean utkinect"):
        load("utkinekt")


@pytest.mark.parametrize(
    "missing",
    [{"wave": [GOOD]}, {"wave": [GOOD], "bow": []}, {"wave": [GOOD], "bow": [{**GOOD, "status": "proposed"}]}],
)
def test_a_class_without_an_accepted_statement_is_an_error_that_names_it(missing, write):
    path = write(missing)
    with pytest.raises(BenchError, match=rf"{path} has no accepted statement for the class 'bow'; add one"):
        statements(path, ["wave", "bow"])


def test_only_what_was_let_through_is_used_in_the_order_of_the_file(write):
    rows = [{**GOOD, "text": f"{s} {k}", "status": s, "kind": k} for s in STATUSES for k in KINDS]
    (texts,) = statements(write({"wave": rows, "other": [GOOD]}), ["wave"])
    assert texts == tuple(f"{s} {k}" for s in ("accepted", "edited") for k in KINDS)


def test_spaces_around_a_text_are_not_part_of_it(write):
    assert statements(write({"wave": [{**GOOD, "text": "  a hand goes up \n"}]}), ["wave"]) == (("a hand goes up",),)


@pytest.fixture
def bank(write):
    return write({c: [{**GOOD, "text": f"{c} {i}"} for i in range(1 + n % 3)] for n, c in enumerate(NAMES)})


def test_statements_come_in_the_order_of_the_class_names(bank):
    assert [of[0] for of in statements(bank, NAMES[::-1])] == [f"{c} 0" for c in NAMES[::-1]]


@pytest.mark.parametrize("seed", range(1, 8))
def test_shuffled_deals_whole_classes_and_loses_none(seed, bank):
    plain, shuffled = statements(bank, NAMES), statements(bank, NAMES, "shuffled", seed)
    assert sorted(shuffled) == sorted(plain)
    assert shuffled == statements(bank, NAMES, "shuffled", seed)


def test_another_seed_is_another_deal(bank):
    assert len({statements(bank, NAMES, "shuffled", seed) for seed in range(1, 9)}) >= 7
    assert statements(bank, NAMES, "none", 1) == statements(bank, NAMES, "none", 2)


def test_an_unknown_control_is_an_error(bank):
    with pytest.raises(BenchError, match="unknown bank control 'reversed'"):
        statements(bank, NAMES, "reversed")


def test_the_digest_is_of_sentences_owners_and_order(bank):
    plain = statements(bank, NAMES)
    others = [
        plain[::-1],
        plain[:-1],
        (*plain[:-1], ("new",)),
        (plain[0] + plain[1], *plain[2:]),
        (plain[0], plain[1][::-1], *plain[2:]),
    ]
    assert len({statements_digest(t) for t in (plain, *others)}) == 6
    assert statements_digest(plain) == statements_digest([list(t) for t in plain])


@pytest.mark.parametrize("name", bank_names())
def test_the_banks_that_ship_are_whole(name):
    bank = load(name)
    assert bank.about and bank.classes
    assert statements(name, list(bank.classes))


def test_a_bank_that_was_edited_is_read_again(write):
    """In a notebook the process lives on while its user edits the file."""
    path = write({"wave": [GOOD]})
    assert statements(path, ["wave"]) == (("a hand goes up",),)
    write({"wave": [{**GOOD, "text": "the other hand goes up"}]})
    assert statements(path, ["wave"]) == (("the other hand goes up",),)
