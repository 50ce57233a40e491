"""A tar that renders its report again by itself, with equal bytes, and tells nobody who made it."""

import io
import json
import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import made_runs
import numpy as np
import pytest
from commands import bench
from fakes import forget, plug_in, plug_in_adapter, write_classes

from bench import _private, exporting, reporting, store
from bench._swap import LOCK, hold, is_held
from bench.contracts import BenchError
from bench.plugins import ROOT
from bench.specs import RunSpec
from bench.stored_results import Results

A, B, FAILED, NA = "a1b2c3d4e5f6", "0123456789ab", "ffff00001111", "eeee00001111"
NAME = "jane.doe"
PRIVATE = (NAME, "kimdoe", "node17.uni", "/data/secret", "/home/", "my videos", "bucket", "c0ffee", "uni.edu")


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """FAILED.json as a run that fails writes it, with a reason that tells where it was."""
    from bench import planning, runner

    place = tmp_path_factory.mktemp("failing") / NAME
    with pytest.MonkeyPatch.context() as patch:
        plug_in_adapter(patch)
        videos = write_classes(place / "my videos", ("run", "wave"), 6)
        spec = RunSpec(dataset="folder", backbone="fake", method="zero_shot", root=str(videos))
        resolved = planning.resolve(spec, place / "home")

        def fail(*_):
            raise BenchError(f"{place}/home/features holds what is no number")

        patch.setattr(runner, "_fit_and_predict", fail)
        with pytest.raises(BenchError, match="no number"):
            runner.execute(resolved, place / "home")
    forget(planning)
    record = json.loads((store.run_folder(place / "home", resolved.run_id) / store.FAILED).read_text())
    assert {"identity", "provenance"} <= record.keys() and str(place) in record["reason"]
    return record


@pytest.fixture
def home(tmp_path, lost):
    """Runs that tell in every place they can who made them."""
    home = tmp_path / NAME / "bench_home"
    spec = {"dataset": "folder", "backbone": f"transformers:/home/{NAME}/model", "method": "zero_shot", "seed": 1}
    spec |= {"root": "/data/secret/my videos", "bank": f"/home/{NAME}/bank.json"}
    spec |= {"dataset_options": {"annotations": "/data/secret/lists/train.csv"}}
    came = {
        "git": "c0ffee",
        "host": "node17.uni",
        "command": [
            f"/home/{NAME}/kpbench/bench/__main__.py",
            "run",
            "--root",
            "../kimdoe/my videos",
            "--bank",
            "kimdoe/b.json",
        ],
    }
    columns = made_runs.record()["columns"] | {"bank": f"/home/{NAME}/bank.json"}
    unread = {
        "clip 7": "InvalidDataError: '/data/secret/my videos/clip 7.avi' on node17.uni",
        f"/home/{NAME}/8.avi": "no",
    }
    ids = [f"/home/{NAME}/my videos/v{i}.avi" for i in range(12)]
    found = made_runs.predictions(1, failed=unread, video_ids=ids, groups=[NAME, "s1", "s2"] * 4)
    made_runs.complete(home, A, found=found, spec=spec, provenance=came, columns=columns, undecodable=unread)
    found = made_runs.predictions(2, video_ids=ids, groups=[NAME, "s1", "s2"] * 4)
    made_runs.complete(home, B, seed=2, found=found, provenance={"host": "n1", "command": ["bench"]})
    trace = f'File "/home/{NAME}/kpbench/baselines/coop.py", line 3, in fit\nValueError: no {NAME} in ~/{NAME}/x.csv'
    trace += (
        f"\n{NAME}@login:/data, s3://{NAME}-bucket/x, {NAME}@uni.edu, '/data/secret, too/x', {NAME}_runs, run-{NAME}2"
    )
    record = {k: v for k, v in lost.items() if k not in ("schema", "run_id", "status", "reason", "traceback")}
    record["columns"] |= {"dataset": "toy", "manifest": "m1"}  # for a place in the table of the other runs
    record["provenance"] |= came
    store.write_failure(home, FAILED, record, f"{lost['reason']}, nothing in /home/{NAME}/out of {home}", trace)
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
        assert not found, (name, found)
    record = json.loads((base / "runs" / A[:2] / A / "run.json").read_text())
    assert record["provenance"]["command"] == [
        *("<path>/__main__.py", "run", "--root", "<path>", "--bank", "<path>/b.json")
    ]
    assert record["provenance"]["git"] == "<commit>"
    assert record["spec"]["root"] == "<path>" and record["spec"]["backbone"] == "transformers:<path>"
    assert record["spec"]["bank"] == record["columns"]["bank"] == "<path>/bank.json"
    assert record["undecodable"]["clip 7"].startswith("InvalidDataError: '<path>")
    assert record["undecodable"]["clip 7"].endswith("' on <host>")
    other = json.loads((base / "runs" / B[:2] / B / "run.json").read_text())
    assert other["provenance"]["host"] == "<host>", "too short a name to be looked for in free text"
    assert sorted(record["undecodable"]) == ["clip 7", "video-1"]
    failed = json.loads((base / "runs" / FAILED[:2] / FAILED / "FAILED.json").read_text())
    assert failed["traceback"].startswith(
        'File "<path>/coop.py", line 3, in fit\nValueError: no <user> in <path>/x.csv'
    )
    assert failed["identity"] and failed["provenance"]["host"] == "<host>"
    original, after = made_runs.predictions(1), store.read_predictions(base, A)
    assert np.array_equal(after.logits, original.logits)
    assert after.groups == ["group-1", "s1", "s2"] * 4 and after.failed.keys() == record["undecodable"].keys()
    numbered = store.read_predictions(base, B).video_ids
    assert after.video_ids == numbered == [f"video-{n}" for n in (2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 4, 5)]
    readme = (base / "README.txt").read_text()
    assert "double-blind" in readme and "13 ids of videos, 1 names of groups told such things" in readme
    assert "Kept as they were" in readme and "<commit>" in readme


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


def test_what_is_still_told_stops_the_export_and_is_named(home, user, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_render", lambda base: None)
    scores = store.run_folder(home, A) / "scores.csv"
    before = scores.read_text()
    scores.write_text(before + f"top1_{NAME},0.5,12,1\n")
    refused(home, tmp_path, f"runs/{A[:2]}/{A}/scores.csv tells '{NAME}'")
    scores.write_text(before)
    monkeypatch.setattr(exporting._supplement, "RENDER", f"# {home}\n")
    refused(home, tmp_path, f"render.py tells '{home}'")
    monkeypatch.setattr(exporting._supplement, "RENDER", "# in /data/secret/my videos\n")
    refused(home, tmp_path, "render.py tells '/data/secret/my videos'")


@pytest.mark.slow
def test_a_report_that_still_tells_stops_the_export(home, user, tmp_path, monkeypatch):
    text = exporting._supplement.RENDER.replace("rendered = ", f"(folder / 'x.md').write_text('{NAME}'); rendered = ")
    monkeypatch.setattr(exporting._supplement, "RENDER", text.replace("    rendered", "    folder.mkdir(); rendered"))
    refused(home, tmp_path, "tells")


def test_the_program_that_renders_sees_nothing_but_what_is_in_the_tar(tmp_path, monkeypatch):
    for place in ("path", "base"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "trap.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    program = "import importlib.util, sys\nsys.exit('a trap' if importlib.util.find_spec('trap') else 0)\n"
    (tmp_path / "base" / "render.py").write_text(program)
    exporting._render(tmp_path / "base")
    (tmp_path / "base" / "render.py").write_text("raise SystemExit('no room')")
    with pytest.raises(BenchError, match="cannot be rendered from the exported files:\nno room"):
        exporting._render(tmp_path / "base")


def test_a_run_folder_that_is_a_link_is_not_followed(home, tmp_path):
    folder = store.run_folder(home, A)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    refused(home, tmp_path, "missing or a link", run_ids=[A])


def test_predictions_that_were_spoilt_since_the_index_was_written_are_told(home, tmp_path):
    Results(home).runs  # noqa: B018 - writes the index
    path = store.run_folder(home, A) / "predictions.npz"
    whole = path.read_bytes()
    for content in (b"spoilt", whole[:-40], whole.replace(b"NUMPY", b"NUMPZ"), whole[:300] + b"?" + whole[301:]):
        path.write_bytes(content)
        refused(home, tmp_path, rf"damaged runs.*{A} \(runs/a1/{A}/predictions.npz cannot be read.*delete the folder")


def test_what_killed_exports_left_goes_and_what_living_ones_write_stays(home, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_render", lambda base: None)
    for place in (home / ".export-dead", home / ".export-alive"):
        (place / "supplement").mkdir(parents=True)
    for place in (tmp_path / ".s.tar.gz.1-ab.tmp", tmp_path / ".s.tar.gz.2-ab.tmp", tmp_path / ".other.tmp"):
        place.write_text("half")
    locks = [hold(home / ".export-alive" / LOCK), hold(tmp_path / ".s.tar.gz.2-ab.tmp")]
    exporting.export(home, tmp_path / "s.tar.gz")
    assert [p.name for p in home.glob(".export-*")] == [".export-alive"]
    assert sorted(p.name for p in tmp_path.glob(".*tmp")) == [".other.tmp", ".s.tar.gz.2-ab.tmp"]
    for lock in locks:
        os.close(lock)
    exporting.export(home, tmp_path / "s.tar.gz", force=True)
    assert not list(home.glob(".export-*")) and [p.name for p in tmp_path.glob(".*tmp")] == [".other.tmp"]


def test_an_export_holds_its_folder_and_its_file_while_it_writes(home, tmp_path, monkeypatch):
    held = []

    def look(base):
        held.extend(is_held(folder / LOCK) for folder in home.glob(".export-*"))

    def tar(files, base, to):
        held.extend(is_held(path) for path in tmp_path.glob(".s.tar.gz.*.tmp"))

    monkeypatch.setattr(exporting, "_render", look)
    monkeypatch.setattr(exporting, "_tar", tar)
    exporting.export(home, tmp_path / "s.tar.gz")
    assert held == [True, True]


def test_a_disk_that_takes_no_more_and_a_folder_that_takes_nothing_are_told(home, tmp_path, monkeypatch):
    Results(home).runs  # noqa: B018 - writes the index
    refused(home, tmp_path, "given up: .*mend that, or name another file", to=Path("/proc/s.tar.gz"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(exporting, "_render", lambda base: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1])))
    try:
        refused(home, tmp_path, "given up: .*File too large")  # in the tar
        refused(home, tmp_path, "given up: .*File too large")  # in what goes into it
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.glob(".s.tar.gz*"))


def test_the_code_that_goes_along_is_what_a_report_needs_and_no_more(tmp_path):
    libraries = dict(exporting._copy_code(tmp_path / "code"))
    files = made_runs.files(tmp_path / "code")
    assert {"bench/reporting.py", "bench/stored_results.py", "results/backbones.py", "LICENSE"} <= files.keys()
    assert not [
        name for name in files if "runner" in name or "planning" in name or "cli" in name or "__pycache__" in name
    ]
    assert {"numpy", "pandas", "scipy", "matplotlib", "pyarrow"} <= libraries.keys() and "torch" not in libraries
    assert all(files[name] == (ROOT / name).read_bytes() for name in files)
