"""The review's server without a browser: what is saved, and undone."""

import pytest
from reviewing import CLOSE, RAISED, client_of, decide, statement, undo, version

from bench.knowledge.bank import load
from bench.knowledge.desk import open_desk


def test_accepting_lets_through_and_says_who(client, path):
    answer = decide(client)
    assert answer.status_code == 200 and answer.json["statement"]["status"] == "accepted"
    s = statement(path)
    assert (s.status, s.reason, s.text, s.origin) == ("accepted", "accepted in review by Ada", RAISED["text"], "gpt")
    assert answer.json["version"] == version(client)


def test_what_refinement_said_stays_behind_every_later_decision(client, path):
    for action in ("accept", "reject", "accept"):
        assert decide(client, action, number=2).status_code == 200
    s = statement(path, number=2)
    assert s.status == "accepted" and s.reason == f"accepted in review by Ada; before: {CLOSE['reason']}"
    assert s.scores == CLOSE["scores"]


def test_editing_keeps_what_was_there_first_and_who_wrote_it(client, path):
    for text in ("One hand goes up.", "  One hand goes up high.  "):
        assert decide(client, "edit", text=text, kind="body part").status_code == 200
    s = statement(path)
    assert (s.text, s.was, s.status, s.kind) == ("One hand goes up high.", RAISED["text"], "edited", "body part")
    assert s.reason == "edited in review by Ada"
    origin = load(str(path)).origins[s.origin]
    assert origin.by == "a language model, edited by Ada" and origin.prompt == "What does waving look like?"
    assert list(load(str(path)).origins) == ["gpt", "gpt, edited by Ada"]


def test_an_edited_statement_loses_the_scores_of_its_old_text_and_stays_edited_through_other_decisions(client, path):
    decide(client, "edit", number=2, text="Both hands meet above the head.", kind="motion")
    assert (statement(path, number=2).scores, statement(path, number=2).nearest) == ({}, "")
    decide(client, "reject", number=2)
    assert statement(path, number=2).status == "rejected"
    decide(client, "accept", number=2)
    assert statement(path, number=2).status == "edited"


def test_another_kind_alone_is_an_edit_that_keeps_the_scores(client, path):
    decide(client, "edit", number=2, text=CLOSE["text"], kind="body part")
    s = statement(path, number=2)
    assert (s.status, s.kind, s.was, s.scores) == ("edited", "body part", "", CLOSE["scores"]) and s.nearest == "clap"


@pytest.mark.parametrize("action", ["accept", "reject", "edit"])
def test_undo_gives_the_very_file_back(action, client, path, untouched):
    number = decide(client, action, number=2, text="A new text.", kind="motion").json["undo"]
    assert statement(path, number=2).reason != CLOSE["reason"]
    answer = undo(client, number)
    assert answer.status_code == 200 and (answer.json["class"], answer.json["number"]) == ("wave", 2)
    assert undo(client, number).status_code == 410


def test_an_origin_that_another_edit_uses_survives_an_undo(client, path):
    first = decide(client, "edit", text="One.", kind="motion").json["undo"]
    decide(client, "edit", number=1, text="Two.", kind="motion")
    assert undo(client, first).status_code == 200
    assert statement(path, number=1).origin == "gpt, edited by Ada"


def test_a_statement_that_was_changed_since_is_not_undone(client, path):
    first = decide(client).json["undo"]
    decide(client, "reject")
    before = path.read_bytes()
    answer = undo(client, first)
    assert answer.status_code == 410 and "changed since" in answer.json["error"] and path.read_bytes() == before


def test_the_page_gives_the_reviewer_where_the_command_did_not(path):
    client = client_of(open_desk(path))
    for name in ("", "  ", "a;b", "a\nb", "<b>Bob</b>", "x" * 81):
        answer = decide(client, reviewer=name)
        assert answer.status_code == 422 and "the reviewer's name" in answer.json["error"]
    assert decide(client, reviewer=" Bob ").status_code == 200
    assert statement(path).reason == "accepted in review by Bob"


def test_the_name_on_the_command_line_is_not_to_be_changed_by_a_page(client, path):
    decide(client, reviewer="Mallory")
    assert statement(path).reason == "accepted in review by Ada"


def test_a_link_to_a_bank_stays_a_link(path):
    link = path.with_name("link.json")
    link.symlink_to(path)
    assert decide(client_of(open_desk(link, "Ada"))).status_code == 200
    assert link.is_symlink() and statement(path).status == "accepted"
