"""The commands knowledge refine and knowledge show: where the bank goes, what is said, and that nothing is lost."""

import dataclasses
import json

import pytest
from commands import bench
from fakes import FakeAdapter, plug_in_adapter, write_classes
from markdown_it import MarkdownIt

from bench.knowledge import _told, load
from bench.knowledge.bank import BANKS, Bank, Origin, Statement, save, written
from bench.knowledge.refine import refine

NASTY = "x3 [a](b) | &lt; 1<2 `c` waves *d* \\ $e$"


def row(text, status="proposed", **more):
    return Statement(text, "motion", "me", status, **more)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A bank's file, and the fake backbone."""
    plug_in_adapter(monkeypatch, FakeAdapter())
    classes = {
        "wave": (row("a hand goes up"), row("A hand goes up."), row("an arm")),
        "clap": (row("a foot"), row("a knee")),
    }
    path = tmp_path / "banks" / "mine.json"
    save(Bank("mine", "Mine.", {"me": Origin("me")}, classes), path)
    return path


OPEN = ("--backbone", "fake", "--min-margin", "-2", "--near-duplicate", "1", "--min-statements", "2")


def refined(capsys, monkeypatch, path, *words):
    return bench(capsys, monkeypatch, "knowledge", "refine", path, *OPEN, *words)


def test_the_refined_bank_lies_beside_the_bank_which_stays(mine, capsys, monkeypatch):
    before = mine.read_bytes()
    code, out, _ = refined(capsys, monkeypatch, mine)
    path = mine.with_name("mine.refined.json")
    assert code == 0 and mine.read_bytes() == before
    assert [s.status for s in load(str(path)).classes["wave"]] == ["proposed", "rejected", "proposed"]
    assert f"{path}: 4 of 5 statements left" in out and "Why 1 statements fell" in out
    assert 'near-duplicate: has the same words as "a hand goes up"' in out
    assert sorted(p.name for p in mine.parent.iterdir()) == ["mine.json", "mine.refined.json"]


def test_what_was_decided_while_it_refined_is_not_lost(mine, capsys, monkeypatch):
    import bench.knowledge.refine as module

    whole = module.refine

    def meanwhile(held, *rest, **more):
        save(dataclasses.replace(load(str(mine)), about="Reviewed meanwhile."), mine)
        return whole(held, *rest, **more)

    monkeypatch.setattr(module, "refine", meanwhile)
    code, _, err = refined(capsys, monkeypatch, mine, "--out", mine)
    assert code == 2 and f"{mine} was changed while it was refined" in " ".join(err.split()).replace("- ", "-")
    assert load(str(mine)).about == "Reviewed meanwhile."


def test_every_threshold_is_an_option(mine, capsys, monkeypatch):
    def left(*words):
        code, out, err = refined(capsys, monkeypatch, mine, "--overwrite", *words)
        return code, load(str(mine.with_name("mine.refined.json"))), err

    assert [s.status for s in left()[1].classes["clap"]] == ["proposed", "proposed"]
    assert [s.status for s in left("--near-duplicate", "0")[1].classes["wave"]].count("rejected") >= 1
    assert left("--min-margin", "2")[0] == 1
    assert "too long" in left("--context-tokens", "29")[1].classes["wave"][0].reason
    assert "the class's name" in left("--context-tokens", "29")[1].classes["wave"][0].reason
    assert "the class's name" not in left("--context-tokens", "29", "--no-class-name")[1].classes["wave"][0].reason
    assert left("--keep", "1")[1].classes["clap"][0].status != left("--keep", "1")[1].classes["clap"][1].status
    code, made, err = left("--min-statements", "3")
    assert code == 1 and "the class 'wave' has 2 of 3 statements left; it needs at least 3" in err
    assert len(made.classes["wave"]) == 3, "the bank is written nevertheless"


def test_accepted_without_a_person_is_said_in_the_bank_and_on_the_terminal(mine, capsys, monkeypatch):
    code, out, _ = refined(capsys, monkeypatch, mine, "--accept-refined")
    made = load(str(mine.with_name("mine.refined.json")))
    assert code == 0 and "4 statements were accepted by refinement, without a person" in out
    assert made.about == "Mine. [refine: scores by fake; 4 statements accepted by refinement, without a person]"
    assert {s.reason for s in made.classes["clap"]} == {"accepted by refinement, without a person (fake)"}


def test_what_a_person_let_through_is_told_and_falls_only_on_a_recheck(mine, capsys, monkeypatch):
    bank = load(str(mine))
    save(
        dataclasses.replace(bank, classes={**bank.classes, "wave": (row("it waves", "accepted"), row("an arm"))}), mine
    )
    code, out, _ = refined(capsys, monkeypatch, mine)
    path = mine.with_name("mine.refined.json")
    assert code == 0 and "Faults of 1 statements that a person let through; they stay" in out
    assert load(str(path)).classes["wave"][0].status == "accepted"
    assert refined(capsys, monkeypatch, mine, "--recheck", "--overwrite")[0] == 1
    assert load(str(path)).classes["wave"][0].status == "rejected"


def test_another_bank_at_the_goal_is_not_lost(mine, capsys, monkeypatch):
    path = mine.with_name("mine.refined.json")
    assert refined(capsys, monkeypatch, mine)[0] == 0
    assert refined(capsys, monkeypatch, mine)[0] == 0, "the same again is no loss"
    reviewed = path.read_text().replace('"proposed"', '"accepted"')
    path.write_text(reviewed)
    code, _, err = refined(capsys, monkeypatch, mine)
    assert code == 2 and f"there is another file {path}" in err and path.read_text() == reviewed
    assert refined(capsys, monkeypatch, mine, "--overwrite")[0] == 0 and path.read_text() != reviewed


def test_a_bank_may_be_refined_in_place_when_told_so(mine, capsys, monkeypatch):
    assert refined(capsys, monkeypatch, mine, "--out", mine)[0] == 0
    once = mine.read_text()
    assert json.loads(once)["classes"]["wave"][1]["status"] == "rejected"
    assert refined(capsys, monkeypatch, mine, "--out", mine)[0] == 0 and mine.read_text() == once


def test_a_bank_that_ships_is_refined_elsewhere(mine, tmp_path, capsys, monkeypatch):
    shipped = {p: p.read_bytes() for p in BANKS.iterdir()}
    for name in ("utkinect", BANKS / "utkinect.json"):
        assert refined(capsys, monkeypatch, name, "--overwrite")[0] == 0
    assert {p: p.read_bytes() for p in BANKS.iterdir()} == shipped
    assert len(load(str(tmp_path / "bench_home" / "knowledge" / "utkinect.refined.json")).classes) == 10


WRONG = {
    "no such bank": (["nowhere.json"], "there is no knowledge bank"),
    "unknown backbone": (["{mine}", "--backbone", "fakke"], "unknown adapter 'fakke'"),
    "a goal that is no bank": (["{mine}", "--out", "{here}/x.txt"], "does not end in .json"),
    "a goal that is a folder": (["{mine}", "--out", "{here}/folder.json"], "cannot be written"),
    "a report that is no page": (["{mine}", "--report", "{here}/x.json"], "does not end in .md"),
    "a threshold out of its range": (["{mine}", "--keep", "0"], "keep is 0; it is from 1"),
    "a folder without a data set": (["{mine}", "--root", "{here}"], "--root and --option belong to a data set"),
    "an unknown data set": (["{mine}", "--dataset", "nobody"], "unknown dataset 'nobody'"),
    "no room for text": (["{mine}", "--backbone", "tiny-clip", "--context-tokens", "99"], "leave no room for text"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_on_an_error_nothing_is_written(fault, mine, capsys, monkeypatch):
    (mine.parent / "folder.json").mkdir()
    words, said = WRONG[fault]
    there = {p: p.read_bytes() for p in mine.parent.iterdir() if p.is_file()}
    named = [word.format(mine=mine, here=mine.parent) for word in words]
    code, _, err = refined(capsys, monkeypatch, *named)
    assert code == 2 and said in err
    assert {p: p.read_bytes() for p in mine.parent.iterdir() if p.is_file()} == there


def test_a_broken_bank_names_class_and_statement_and_nothing_is_written(mine, capsys, monkeypatch):
    mine.write_text(mine.read_text().replace("an arm", ""))
    code, _, err = refined(capsys, monkeypatch, mine)
    assert code == 2 and f"{mine}, class 'wave', statement 3: the text has 0 characters" in err
    assert [p.name for p in mine.parent.iterdir()] == ["mine.json"]


def test_the_report_says_why_each_fell_and_shows_what_the_bank_holds(mine, capsys, monkeypatch):
    bank = load(str(mine))
    odd = {**bank.classes, "wave": (row(NASTY), row("an arm"), row("a leg")), "a|b*c*": (row("a toe"), row("a heel"))}
    save(dataclasses.replace(bank, classes=odd), mine)
    report = mine.with_name("report.md")
    code, out, _ = refined(capsys, monkeypatch, mine, "--report", report)
    assert code == 0 and f"the whole report is in {report}" in out
    tokens = MarkdownIt("commonmark").enable("table").parse(report.read_text())
    inline = [t for t in tokens if t.type == "inline"]
    assert all({c.type for c in t.children} <= {"text"} for t in inline), "nothing of a bank is markup"
    shown = ["".join(c.content for c in t.children) for t in inline]
    assert NASTY in shown and "a|b*c*" in shown and 'name leak: says the name of its own class: "wave"' in shown
    assert shown[0] == "Refinement of mine.json"
    assert "near_duplicate 1" in shown[1] and "Which classes are easily confused" in shown
    odd = refine(load(str(mine)), FakeAdapter(name="a*b*"))
    assert "\nBackbone a\\*b\\*; " in _told.markdown(odd, "x")
    blocked = mine.with_name("folder.md")
    blocked.mkdir()
    code, _, err = refined(capsys, monkeypatch, mine, "--report", blocked)
    assert code == 2 and f"--report {blocked} cannot be written" in err


def test_the_most_confusable_pair_stands_first_and_a_class_of_nothing_last():
    classes = {"clap": (row("one"),), "none": (), "wave": (row("a b c"), row("d")), "bow": (row("a b c"),)}
    rows = _told.nearest(refine(Bank("mine", "", {"me": Origin("me")}, classes), FakeAdapter()))
    cosines = [float(cosine or "-inf") for _, _, cosine, *_ in rows]
    assert cosines == sorted(cosines, reverse=True) != [float(c or "-inf") for _, _, c, *_ in sorted(rows)]
    assert [name for name, *_ in rows] != list(classes) and rows[-1] == ("none", "", "", "", "")


def test_only_some_are_listed_on_the_terminal_and_all_in_the_report(mine, capsys, monkeypatch):
    bank = load(str(mine))
    many = tuple(row(f"it waves {'x' * i}") for i in range(1, 51))
    save(dataclasses.replace(bank, classes={**bank.classes, "wave": (*bank.classes["wave"], *many)}), mine)
    report = mine.with_name("report.md")
    code, out, _ = refined(capsys, monkeypatch, mine, "--report", report)
    assert code == 0 and "Why 51 statements fell" in out and "and 11 more: --report FILE.md has them all" in out
    assert out.count("it waves x") == 39 and report.read_text().count("it waves x") == 50


def test_the_classes_of_a_data_set_compete_and_a_lacking_one_is_told(mine, tmp_path, capsys, monkeypatch):
    root = write_classes(tmp_path / "videos", ("wave", "hug"), per_class=2)
    code, out, err = refined(capsys, monkeypatch, mine, "--dataset", "folder", "--root", root)
    assert code == 1 and "the class 'hug' has 0 of 0 statements left; it needs at least 2" in err
    assert "1 of the bank's classes are none of the data set's" in out
    assert load(str(mine.with_name("mine.refined.json"))).classes["clap"] == load(str(mine)).classes["clap"]


# --- show --------------------------------------------------------------------------------------------------------


def test_show_counts_by_kind_and_status(mine, capsys, monkeypatch):
    bank = load(str(mine))
    rows = (
        *bank.classes["wave"],
        row("b", "accepted"),
        Statement("c", "object", "me", "edited", {"tpp": 0.5}, "clap", "why", "d"),
    )
    save(dataclasses.replace(bank, classes={**bank.classes, "wave": rows}), mine)
    code, out, _ = bench(capsys, monkeypatch, "knowledge", "show", mine)
    assert code == 0
    assert (
        "class motion, proposed motion, accepted object, edited wave 3 1 1 clap 2 2 classes, 2 of 7 statements let through"
        in out
    )
    assert f"digest {load(str(mine)).digest}" in out and "origin me: me Mine." in out
    code, out, _ = bench(capsys, monkeypatch, "knowledge", "show", mine, "--class", "wave")
    assert code == 0 and "5 object edited c tpp 0.500 clap why" in out and "a foot" not in out
    code, _, err = bench(capsys, monkeypatch, "knowledge", "show", mine, "--class", "wawe")
    assert code == 2 and "unknown class 'wawe'; did you mean wave?" in err


def test_show_takes_the_name_of_a_bank_that_ships(capsys, monkeypatch):
    code, out, _ = bench(capsys, monkeypatch, "knowledge", "show", "utkinect")
    assert code == 0 and "10 classes, 81 of 81 statements let through" in out
    assert written(load("utkinect")) == (BANKS / "utkinect.json").read_text()
