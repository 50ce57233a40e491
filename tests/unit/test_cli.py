"""The command line beside what it calls: what it prints, and what it asks of the home."""

import json

import made_runs
import pytest
from commands import bench

from bench import index, places, store
from bench.cli import look
from bench.cli._common import config_of, visible
from bench.contracts import UNTRAINED, BenchError
from bench.stored_results import Results

ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e :boom: [bold]"
SHOWN = "\\u001b]0;title\\u0007\\u001b[2J\\u009b31m\\u202e :boom: [bold]"
LOOKING = [("status",), ("status", "--runs"), ("show", "a1"), ("index",), ("list",), ("power", "--difference", "2")]


def columns(**changes):
    return {**made_runs.record()["columns"], **changes}


@pytest.fixture
def home(tmp_path):
    """What conftest.py sets BENCH_HOME to, with a complete run and one that failed with a terminal's escapes in its reason."""
    home = tmp_path / "bench_home"
    made_runs.complete(home, "a1b2c3d4e5f6")
    made_runs.failed(home, "0123456789ab", reason=ESCAPES, columns=columns(label=ESCAPES))
    return home


@pytest.mark.parametrize("words", [("status",), ("status", "--runs"), ("show", "01"), ("show", "01", "--json")])
def test_a_terminal_is_never_told_what_to_do(home, words, capsys, monkeypatch):
    _, out, err = bench(capsys, monkeypatch, *words)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e" for c in out + err)
    assert SHOWN.removeprefix("\\u001b") in out + err


def test_what_is_made_visible_stays_json():
    told = {"a\u009b": "\u202d\x7f"}
    assert json.loads(visible(json.dumps(told, ensure_ascii=False))) == told
    assert visible("Ünïcode\ttab\nline") == "Ünïcode\ttab\nline"


@pytest.mark.parametrize("words", LOOKING)
def test_looking_needs_no_home_that_can_be_written_to(home, words, capsys, monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    made = sorted(p for p in home.rglob("*") if "index" not in p.parts)
    monkeypatch.setattr(places.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(index, "write_atomic", refused)
    code, out, err = bench(capsys, monkeypatch, *words)
    assert out and "cannot be written to" not in err and code == (1 if words[0] == "status" else 0), "one run failed"
    assert sorted(p for p in home.rglob("*") if "index" not in p.parts) == made
    code, _, err = bench(capsys, monkeypatch, "render")
    assert code == 2 and "cannot be written to" in err


def test_a_report_of_no_runs_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    code, out, _ = bench(capsys, monkeypatch, "render", "--kind", "tables")
    assert code == 0 and f"there are no runs yet in {tmp_path}" in out


def test_looking_makes_no_home(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "elsewhere"))
    code, out, _ = bench(capsys, monkeypatch, "status")
    assert code == 0 and f"no runs yet in {tmp_path / 'elsewhere'}" in out and not (tmp_path / "elsewhere").exists()
    assert Results(tmp_path / "elsewhere").runs.empty


def test_status_tells_protocols_apart(home, capsys, monkeypatch):
    made_runs.complete(home, "abcdefabcdef", columns=columns(protocol="base_to_novel"))
    _, out, _ = bench(capsys, monkeypatch, "status")
    assert "base_to_novel" in out and "zero_shot" in out


def test_status_tells_random_weights_with_the_backbone(home, capsys, monkeypatch):
    made_runs.complete(home, "abcdefabcdef", columns=columns(backbone="tsm", pretraining=UNTRAINED))
    for words in (("status",), ("status", "--runs")):
        _, out, _ = bench(capsys, monkeypatch, *words)
        assert "tsm, random weights" in out


def test_status_of_many_settings_counts_them_together(home, capsys, monkeypatch):
    monkeypatch.setattr(look, "ROWS", 4)
    for number, label in enumerate(("A", "B", "C")):
        made_runs.complete(home, f"aaaaaaaaaa{number:02}", columns=columns(label=label, backbone="one"))
        made_runs.complete(home, f"bbbbbbbbbb{number:02}", columns=columns(label=label, backbone="two"))
    _, out, _ = bench(capsys, monkeypatch, "status")
    assert "protocol backbone complete n/a failed damaged" in out, "no method"
    assert "one 3 0 0 0" in out and "two 3 0 0 0" in out


def test_runs_that_failed_alike_are_told_together(home, capsys, monkeypatch):
    ids = [f"cccccccccc{number:02}" for number in range(5)]
    for run_id in ids:
        store.write_failure(home, run_id, {"columns": columns()}, "RuntimeError: too hot", "")
    code, _, err = bench(capsys, monkeypatch, "status")
    assert code == 1 and f"failed {', '.join(ids[:3])} and 2 more RuntimeError: too hot" in err and ids[3] not in err


def test_a_kind_that_is_nearly_right_is_answered_with_the_right_one(capsys, monkeypatch):
    code, _, err = bench(capsys, monkeypatch, "list", "--kind", "recognisers")
    assert code == 2 and "unknown kind 'recognisers'; did you mean recognizers" in err


def test_words_that_no_published_number_has_are_said_and_others_counted(capsys, monkeypatch):
    code, _, err = bench(capsys, monkeypatch, "published", "qwertz")
    assert code == 2 and "no published number has all of these words: qwertz" in err
    code, out, _ = bench(capsys, monkeypatch, "published", "maxi", "ucf")
    assert code == 0 and f"{out.count('p-')} published numbers" in out


def test_the_banks_that_ship_are_listed(capsys, monkeypatch):
    code, out, _ = bench(capsys, monkeypatch, "list", "--kind", "banks")
    assert code == 0 and all(name in out for name in ("toy", "ucf101", "ntu60")) and "adapters" not in out


def test_settings_are_numbers_truth_values_or_text():
    given = [
        "coop.epochs=3",
        "coop.class_specific_context=true",
        "mmaction2_as_is.label_map=a=b.csv",
        "coop.epochs=null",
    ]
    assert config_of(given) == (
        ("coop", "epochs", 3),
        ("coop", "class_specific_context", True),
        ("mmaction2_as_is", "label_map", "a=b.csv"),
        ("coop", "epochs", None),
    )
    for wrong in ("epochs=3", "coop.epochs", ".x=1", "coop.=1"):
        with pytest.raises(BenchError, match="takes METHOD.FIELD=VALUE|unknown method"):
            config_of([wrong])
    with pytest.raises(BenchError, match="unknown method 'cop'; did you mean coop"):
        config_of(["cop.epochs=3"])


def test_a_setting_that_no_run_reads_is_an_error(capsys, monkeypatch):
    words = (
        "run",
        "--dry-run",
        "--limit",
        "6",
        "--shots",
        "1",
        "--backbones",
        "tiny-clip",
        "--methods",
        "linear_probe",
    )
    code, _, err = bench(capsys, monkeypatch, *words, "--config", "coop.epochs=3")
    assert code and "--config sets coop, of which the sweep leaderboard has no run here" in err
    code, _, err = bench(capsys, monkeypatch, *words, "--config", "linear_probe.epochs=3")
    assert code and "linear_probe: unknown config epochs; it takes c, max_iterations" in err
