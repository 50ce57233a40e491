import json

import pytest

from bench.contracts import BenchError
from bench.knowledge import bank_names, load, statements, statements_digest
from bench.knowledge.bank import BANKS, KINDS, MAX_CHARACTERS, STATUSES, Bank, Origin, Statement, parsed, save, written

HEAD = {"schema": 2, "dataset": "mine", "about": "", "origins": {"me": {"by": "me"}}}
GOOD = {"text": "a hand goes up", "kind": "motion", "origin": "me", "status": "accepted"}
NAMES = ("clap", "jump", "wave", "sit", "walk", "bow")


@pytest.fixture
def write(tmp_path):
    """Write a bank's classes, or a text as it is; returns the path."""

    def to_file(classes, **more):
        path = tmp_path / "mine.json"
        text = classes if isinstance(classes, str) else json.dumps({**HEAD, "classes": classes, **more})
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
    "a line separator": (changed(text="a hand\u2028goes up"), "control character"),
    "a mark that turns the writing": (changed(text="a hand \u202e goes up"), "control character"),
    "half a surrogate pair": (changed(text="a hand \ud800"), "control character"),
    "a number for a text": (changed(text=3), "text, kind, origin and status"),
    "no text": ({"wave": [GOOD, {}]}, "text, kind, origin and status"),
    "a bare sentence": ({"wave": [GOOD, "a hand goes up"]}, "text, kind, origin and status"),
    "HTML": (changed(text="a <b onclick='x'>hand</b> goes up"), "the text holds HTML"),
    "an unknown kind": (changed(kind="feeling"), "the kind 'feeling' is none of appearance, motion"),
    "an unknown status": (changed(status="ok"), "the status 'ok' is none of proposed, accepted"),
    "no origin": (changed(origin=""), "the origin '' is none of the bank's origins: me"),
    "an unknown origin": (changed(origin="you"), "the origin 'you' is none of the bank's origins: me"),
    "a field nobody knows": (changed(knid="motion"), "unknown knid; a statement has text, kind"),
    "a score that is no number": (changed(scores={"tpp": "high"}), "scores are finite numbers"),
    "a score that is not finite": (changed(scores={"tpp": float("nan")}), "scores are finite numbers"),
    "a reason that is no text": (changed(reason=3), "reason is no text"),
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
    "a list": ("[]", "no knowledge bank of schema 2"),
    "no classes": ('{"schema": 2}', "no knowledge bank of schema 2"),
    "classes as a list": ('{"schema": 2, "classes": []}', "no knowledge bank of schema 2"),
    "another schema": ('{"schema": 1, "classes": {}}', "no knowledge bank of schema 2"),
    "a class twice": ('{"schema": 2, "classes": {"wave": [], "bow": [], "wave": []}}', "'wave' is there twice"),
    "a class that is no list": ('{"schema": 2, "origins": {}, "classes": {"wave": {"text": "x"}}}', "'wave'"),
    "a class name with an escape": (
        '{"schema": 2, "origins": {}, "classes": {"wa\\u001bve": []}}',
        "control character",
    ),
    "a field that saving would lose": (
        '{"schema": 2, "notes": "x", "origins": {}, "classes": {}}',
        "unknown notes; a bank has",
    ),
    "an origin's field that saving would lose": (
        '{"schema": 2, "origins": {"me": {"by": "me", "url": "x"}}, "classes": {}}',
        "origin 'me': unknown url",
    ),
    "no text for what it is": ('{"schema": 2, "about": null, "origins": {}, "classes": {}}', "about is no text"),
    "no origins": ('{"schema": 2, "classes": {"wave": []}}', "origins says who wrote what"),
    "an origin that nobody is": ('{"schema": 2, "origins": {"me": {}}, "classes": {}}', "origin 'me': by is missing"),
    "a class that is a number": ('{"schema": 2, "origins": {}, "classes": {"wave": 3}}', "'wave'"),
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
    path.write_bytes(b'{"schema": 2, "classes": {"\xff": []}}')
    with pytest.raises(BenchError, match="no readable knowledge bank"):
        load(str(path))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="there is no knowledge bank .*nowhere.json"):
        load(str(tmp_path / "nowhere.json"))


def test_an_unknown_name_is_an_error_with_the_near_ones():
    with pytest.raises(BenchError, match="unknown knowledge bank 'utkinekt'; did you mean utkinect"):
        load("utkinekt")


def test_a_class_whose_statements_nobody_accepted_says_how_to(write):
    path = write({"wave": [GOOD], "bow": [{**GOOD, "status": "proposed"}]})
    with pytest.raises(
        BenchError, match=r"1 statements for the class 'bow', and none of them is accepted; .*knowledge review"
    ):
        statements(path, ["wave", "bow"])


@pytest.mark.parametrize(
    "missing",
    [{"wave": [GOOD]}, {"wave": [GOOD], "bow": []}],
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


@pytest.mark.parametrize("name", bank_names())
def test_the_banks_that_ship_are_whole(name):
    bank = load(name)
    assert bank.about and bank.dataset == name
    assert statements(name, list(bank.classes))
    for rows in bank.classes.values():
        kinds = [s.kind for s in rows if s.status in ("accepted", "edited")]
        assert kinds.count("appearance") >= 3 and kinds.count("motion") >= 3


def test_the_banks_that_ship_are_written_as_the_project_writes_them():
    for name in bank_names():
        path = BANKS / f"{name}.json"
        assert path.read_text() == written(load(name)), f"write {path} by bench.knowledge.bank.save"


def test_a_bank_that_was_edited_is_read_again(write):
    """In a notebook the process lives on while its user edits the file."""
    path = write({"wave": [GOOD]})
    assert statements(path, ["wave"]) == (("a hand goes up",),)
    write({"wave": [{**GOOD, "text": "the other hand goes up"}]})
    assert statements(path, ["wave"]) == (("the other hand goes up",),)


# --- the digest, and writing -------------------------------------------------------------------------------------


def test_the_digest_is_of_sentences_owners_and_order(write):
    plain = statements(write({c: [{**GOOD, "text": f"{c} {i}"} for i in range(2)] for c in NAMES}), NAMES)
    others = [
        plain[::-1],
        plain[:-1],
        (*plain[:-1], ("new",)),
        (plain[0] + plain[1], *plain[2:]),
        (plain[0], plain[1][::-1], *plain[2:]),
    ]
    assert len({statements_digest(t) for t in (plain, *others)}) == 6
    assert statements_digest(plain) == statements_digest([list(t) for t in plain])


def test_a_bank_asked_for_with_its_digest_is_that_one_or_an_error(write):
    path = write({"wave": [GOOD, {**GOOD, "text": "never shown", "status": "rejected"}]})
    known = load(path).digest
    assert load(f"{path}@{known}") == load(path) and len(load(f"utkinect@{load('utkinect').digest}").classes) == 10
    write({"wave": [GOOD, {**GOOD, "text": "not shown either", "status": "proposed"}]})
    assert load(f"{path}@{known}").classes, "what no method is shown does not count"
    write({"wave": [{**GOOD, "text": "another hand goes up"}]})
    with pytest.raises(BenchError, match=rf"{path} has the digest .*, not {known}: its statements changed"):
        load(f"{path}@{known}")


def test_an_empty_digest_is_told_as_such(write):
    for name in ("toy@", write({"wave": [GOOD]}) + "@"):
        with pytest.raises(BenchError, match=r"@ ends with an empty digest; write "):
            load(name)


def test_a_digest_that_was_cut_is_told_as_such():
    with pytest.raises(BenchError, match=r"a digest is 16 hexadecimal characters, 'abc123' has 6"):
        load("toy@abc123")


def test_what_is_saved_is_read_again_and_a_fault_leaves_the_old_file(tmp_path):
    path = tmp_path / "mine.json"
    row = Statement('a "hand" goes up — 50 %', "motion", "me", "edited", {"tpp": 0.25}, "kept", "a hand")
    bank = Bank("mine", "about it", {"me": Origin("me", "say it")}, {"wave": (row, row), "bow": ()})
    save(bank, path)
    assert load(str(path)) == bank and parsed(path.read_text(), "x") == bank
    assert (
        path.read_text().count("\n") == len(path.read_text().splitlines())
        and '"text"' in path.read_text().splitlines()[9]
    )
    bad = Bank("mine", "", bank.origins, {"wave": (Statement("", "motion", "me", "accepted"),)})
    with pytest.raises(BenchError, match="class 'wave', statement 1: the text has 0 characters"):
        save(bad, path)
    assert load(str(path)) == bank and [p.name for p in tmp_path.iterdir()] == ["mine.json"]
    with pytest.raises(BenchError, match="cannot be written"):
        save(bank, path / "below.json")
