"""A tar that renders its report again by itself, with equal bytes, and tells nobody who made it."""

import io
import json
import os
import subprocess
import sys
import tarfile

import made_runs
import numpy as np
import pytest
from commands import bench
from fakes import plug_in

from bench import _private, exporting, reporting, store
from bench.contracts import BenchError
from bench.plugins import ROOT

A, B, FAILED, NA = "a1b2c3d4e5f6", "0123456789ab", "ffff00001111", "eeee00001111"
NAME = "jane.doe"
PRIVATE = (NAME, "node17.uni", "/data/secret", "/home/", "my videos")


@pytest.fixture
def home(tmp_path):
    """Runs that tell in every place they can who made them."""
    home = tmp_path / NAME / "bench_home"
    spec = {"dataset": "folder", "backbone": f"transformers:/home/{NAME}/model", "method": "zero_shot", "seed": 1}
    spec |= {"root": "/data/secret/my videos", "bank": f"/home/{NAME}/bank.json"}
    spec |= {"dataset_options": {"annotations": "/data/secret/lists/train.csv"}}
    came = {
        "host": "node17.uni",
        "command": [f"/home/{NAME}/kpbench/bench/__main__.py", "run", "--root", "/data/secret/my videos"],
    }
    columns = made_runs.record()["columns"] | {"bank": f"/home/{NAME}/bank.json"}
    unread = {"clip 7": "InvalidDataError: '/data/secret/my videos/clip 7.avi' on node17.uni"}
    found = made_runs.predictions(1, failed=unread)
    made_runs.complete(home, A, found=found, spec=spec, provenance=came, columns=columns, undecodable=unread)
    made_runs.complete(home, B, seed=2, provenance={"host": "n1", "command": ["bench"]})
    trace = f'File "/home/{NAME}/kpbench/baselines/coop.py", line 3, in fit\nValueError: no {NAME} in ~/{NAME}/x.csv'
    made_runs.failed(
        home, FAILED, f"ValueError: nothing in /home/{NAME}/kpbench/out of {home}", trace, spec=spec, provenance=came
    )
    store.write_failure(home, NA, made_runs.record(method="linear_probe"), "NotApplicable: no training view", "", "n/a")
    return home


@pytest.fixture
def user(monkeypatch):
    monkeypatch.setattr(_private.getpass, "getuser", lambda: NAME)


def unpacked(path, where):
    with tarfile.open(path) as tar:
        tar.extractall(where, filter="data")
    return where / "supplement"


def clean_environment(tmp_path):
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path / "mpl")}


@pytest.mark.slow
def test_it_renders_the_same_bytes_by_itself_with_nothing_of_kpbench_on_the_path(home, user, tmp_path):
    done = exporting.export(home, tmp_path / "s.tar.gz")
    base = unpacked(done.path, tmp_path / "elsewhere")
    assert done.num_runs == 4 and done.size == done.path.stat().st_size
    assert done.num_files == len(made_runs.files(base))
    written = made_runs.files(base / "report")
    assert {"index.html", "backbones-toy.tex", "backbones-toy.csv"} <= written.keys()
    (tmp_path / "cwd").mkdir()
    told = subprocess.run(
        [sys.executable, "-I", "-B", str(base / "render.py"), str(tmp_path / "again")],
        cwd=tmp_path / "cwd",
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert made_runs.files(tmp_path / "again") == written
    program = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "ours = [m for n, m in sys.modules.items() if n.split('.')[0] in ('bench', 'results')]\n"
        "print('|', *(m.__file__ for m in ours), 'torch' in sys.modules)\n"
    )
    (tmp_path / "trap" / "bench").mkdir(parents=True)
    (tmp_path / "trap" / "bench" / "__init__.py").write_text("raise AssertionError('another bench')")
    places = subprocess.run(
        [sys.executable, "-B", "-c", program, str(base / "render.py")],
        cwd=tmp_path / "cwd",
        env=clean_environment(tmp_path) | {"PYTHONPATH": str(tmp_path / "trap")},
        capture_output=True,
        text=True,
    )
    assert places.returncode == 0, places.stderr
    *files, torch = places.stdout.split("|")[1].split()
    assert files and all(f.startswith(str(base)) for f in files) and torch == "False"


@pytest.mark.slow
def test_runs_that_tell_nothing_private_give_the_report_of_the_home(tmp_path):
    home = tmp_path / "home"
    made_runs.complete(home, A, seed=1)
    made_runs.complete(home, B, seed=2)
    store.write_failure(home, NA, made_runs.record(method="linear_probe"), "NotApplicable: no training view", "", "n/a")
    reporting.write(home)
    base = unpacked(exporting.export(home, tmp_path / "s.tar.gz").path, tmp_path / "x")
    mine = made_runs.files(home / "report")
    del mine[reporting.STAMP]
    assert made_runs.files(base / "report") == mine
    for run_id in (A, B):
        name = f"runs/{run_id[:2]}/{run_id}/predictions.npz"
        assert (base / name).read_bytes() == (home / name).read_bytes()


@pytest.mark.slow
def test_nobody_is_told_who_made_it(home, user, tmp_path):
    base = unpacked(exporting.export(home, tmp_path / "s.tar.gz").path, tmp_path / "x")
    for name, content in made_runs.files(base).items():
        if name.startswith("code/") or name.endswith((".png", ".pdf")):
            continue
        if name.endswith(".npz"):
            with np.load(io.BytesIO(content)) as f:
                content = " ".join(" ".join(f[n].tolist()) for n in f.files if f[n].dtype.kind == "U").encode()
        found = [secret for secret in (*PRIVATE, str(home), str(tmp_path)) if secret in content.decode()]
        assert not found or name == "README.txt", (name, found)
    record = json.loads((base / "runs" / A[:2] / A / "run.json").read_text())
    assert record["provenance"]["command"] == ["<path>/__main__.py", "run", "--root", "<path>"]
    assert record["spec"]["root"] == "<path>" and record["spec"]["backbone"] == "transformers:<path>"
    assert record["spec"]["bank"] == record["columns"]["bank"] == "<path>/bank.json"
    assert record["undecodable"]["clip 7"].startswith("InvalidDataError: '<path>")
    assert record["undecodable"]["clip 7"].endswith("' on <host>")
    other = json.loads((base / "runs" / B[:2] / B / "run.json").read_text())
    assert other["provenance"]["host"] == "<host>", "too short a name to be looked for in free text"
    failed = json.loads((base / "runs" / FAILED[:2] / FAILED / "FAILED.json").read_text())
    assert failed["traceback"].startswith(
        'File "<path>/coop.py", line 3, in fit\nValueError: no <user> in <path>/x.csv'
    )
    original = made_runs.predictions(1)
    after = store.read_predictions(base, A)
    assert np.array_equal(after.logits, original.logits) and after.video_ids == original.video_ids
    assert "double-blind" in (base / "README.txt").read_text()


@pytest.mark.slow
def test_equal_runs_give_equal_bytes_whatever_the_file_is_called(home, tmp_path):
    a, b = exporting.export(home, tmp_path / "a.tar.gz"), exporting.export(home, tmp_path / "b.tar.gz")
    assert a.path.read_bytes() == b.path.read_bytes()
    with tarfile.open(a.path) as tar:
        entries = tar.getmembers()
    assert [e.name for e in entries] == sorted(e.name for e in entries)
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname, e.mode) for e in entries} == {(0, 0, 0, "", "", 0o644)}
    assert all(e.isfile() and e.name.startswith("supplement/") and ".." not in e.name for e in entries)


@pytest.mark.slow
def test_the_command_says_where_how_big_and_what_was_taken_out_and_refuses_to_write_over(
    home, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("BENCH_HOME", str(home))
    to = tmp_path / "paper.tar.gz"
    code, out, err = bench(capsys, monkeypatch, "export", A[:4], NA, "--out", to)
    assert code == 0, err
    assert f"{to}: 2 runs" in out and " MB" in out and "double-blind" in out
    base = unpacked(to, tmp_path / "x")
    assert sorted(p.name for p in (base / "runs").glob("*/*")) == sorted([A, NA])
    assert not list(home.glob(".export-*")) and not list(tmp_path.glob(".*tmp"))
    before = to.read_bytes()
    code, _, err = bench(capsys, monkeypatch, "export", "--out", to)
    assert code == 2 and "--force" in err and to.read_bytes() == before
    code, out, _ = bench(capsys, monkeypatch, "export", "--out", to, "--dataset", "toy", "--force")
    assert code == 0 and f"{to}: 4 runs" in out and to.read_bytes() != before


def refused(home, tmp_path, match, **more):
    to = more.pop("to", tmp_path / "s.tar.gz")
    with pytest.raises(BenchError, match=match):
        exporting.export(home, to, **more)
    assert not to.exists() and not list(home.glob(".export-*"))


def test_what_cannot_be_exported_is_refused_before_anything_is_written(home, tmp_path, monkeypatch):
    refused(home, tmp_path, "must end in .tar.gz", to=tmp_path / "s.zip")
    refused(home, tmp_path, "there is no folder", to=tmp_path / "none" / "s.tar.gz")
    refused(home, tmp_path, "no runs on hmdb51; there are on toy", datasets=["hmdb51"])
    refused(tmp_path / "bench_home", tmp_path, "nothing to export")
    refused(home, tmp_path, "no finished run", run_ids=["dddddddddddd"])
    plug_in(monkeypatch, "results", "outside", TITLE="", render=lambda results: [])
    refused(home, tmp_path, "installed packages cannot go into an export: outside")


def test_links_are_not_followed(home, tmp_path):
    path = store.run_folder(home, A) / "scores.csv"
    path.rename(tmp_path / "scores.csv")
    path.symlink_to(tmp_path / "scores.csv")
    refused(home, tmp_path, "missing or a link", run_ids=[A])


def test_damaged_runs_are_refused_by_name(home, tmp_path):
    (store.run_folder(home, A) / "predictions.npz").write_bytes(b"spoilt")
    refused(home, tmp_path, f"damaged runs cannot be exported: {A}")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("see /home/jane/a b/x.py", "see <path> b/x.py"),
        ("'/opt/tools/run.sh' failed", "'<path>/run.sh' failed"),
        ("in ~/runs/out and C:\\Users\\jane\\x.mp4", "in <path> and <path>/x.mp4"),
        ("https://example.org/a/b stays, as do train/test, 3/4 and a / b", None),
        ("a file:///home/jane/x", "a <path>"),
        ("/home/jane", "<path>"),
    ],
)
def test_absolute_paths_are_cut_and_other_texts_stay(text, shown):
    assert _private.scrubbed(text, ()) == (shown or text)


def test_the_code_that_goes_along_is_what_a_report_needs_and_no_more(tmp_path):
    libraries = dict(exporting._copy_code(tmp_path / "code"))
    files = made_runs.files(tmp_path / "code")
    assert {"bench/reporting.py", "bench/store.py", "results/backbones.py", "LICENSE"} <= files.keys()
    assert not [
        name for name in files if "runner" in name or "planning" in name or "cli" in name or "__pycache__" in name
    ]
    assert {"numpy", "pandas", "scipy", "matplotlib", "pyarrow"} <= libraries.keys() and "torch" not in libraries
    assert all(files[name] == (ROOT / name).read_bytes() for name in files)
