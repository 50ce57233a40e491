import json
import os
import shutil
import time

import pytest
from commands import bench

from bench import disk, jobs, places, store
from bench.contracts import BenchError
from bench.leases import Leases

RUN, OTHER = "0123456789ab", "ba9876543210"


def old(path, days):
    os.utime(path, (time.time() - days * 24 * 3600,) * 2)
    return path


def complete(home, run_id):
    folder = store.run_folder(home, run_id)
    folder.mkdir(parents=True)
    (folder / "COMPLETE").write_text("0 videos\n")


def written(path, size=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def record(home, run_id, **told):
    complete(home, run_id)
    (store.run_folder(home, run_id) / "run.json").write_text(json.dumps(told))


def names(home, days=30.0):
    return {str(w.path.relative_to(home)) for w in disk.waste(home, days)}


def test_parts_are_told_with_their_sizes_the_biggest_first(tmp_path):
    written(tmp_path / "features" / "clip-1" / "a", 1000)
    written(tmp_path / "features" / "clip-2" / "b", 3000)
    written(tmp_path / "runs" / "01" / RUN / "c", 2000)
    written(tmp_path / "runs" / "01" / RUN / "d", 5)
    (tmp_path / "report").symlink_to(tmp_path / "features")
    found = [(p.name, p.num_bytes, p.num_files) for p in disk.parts(tmp_path)]
    assert found == [("features/clip-2", 3000, 1), ("runs", 2005, 2), ("features/clip-1", 1000, 1)]
    assert disk.parts(tmp_path / "nowhere") == []


def test_checkpoints_of_complete_runs_can_go_and_others_not(tmp_path):
    complete(tmp_path, RUN)
    for run_id in (RUN, OTHER):
        written(tmp_path / "checkpoints" / run_id / "training-1.pt")
    assert names(tmp_path) == {f"checkpoints/{RUN}"}


def test_leftovers_of_the_dead_can_go_and_what_is_under_way_not(tmp_path):
    leases = tmp_path / "leases"
    with Leases(leases) as mine:
        mine.take("living")
        dead = {"token": "t", "machine": mine.me.machine, "pid": mine.me.pid, "started": "7", "job": ""}
        (leases / "dead").write_text(json.dumps(dead))
        (leases / "elsewhere").write_text(json.dumps(dead | {"machine": "another"}))
        old(written(leases / "forgotten"), 2).write_text(json.dumps(dead | {"machine": "another"}))
        old(leases / "forgotten", 2)
        (tmp_path / "runs" / "01" / f".{RUN}.00000000-1-1-00000000.part").mkdir(parents=True)
        old(tmp_path / "runs" / "01" / f".{RUN}.00000000-1-1-00000000.part", 2)
        (tmp_path / "runs" / "ba" / f".{OTHER}.00000000-1-1-00000000.part").mkdir(parents=True)
        old(written(tmp_path / "features" / "clip-1" / ".a.safetensors.1-ab.tmp"), 2)
        written(tmp_path / "features" / "clip-1" / ".b.safetensors.1-ab.tmp")
        assert names(tmp_path) == {
            "leases/dead",
            "leases/forgotten",
            f"runs/01/.{RUN}.00000000-1-1-00000000.part",
            "features/clip-1/.a.safetensors.1-ab.tmp",
        }


def test_submissions_go_when_they_have_been_done_for_so_long(tmp_path):
    made = [jobs.create(tmp_path, {"runs": [{"lease": run_id}]}, {"where": "slurm"}) for run_id in (RUN, OTHER)]
    complete(tmp_path, RUN)
    for job in made:
        old(job.folder, 8)
    assert names(tmp_path, 7) == {f"jobs/{made[0].job_id}"} and names(tmp_path, 9) == set()
    with pytest.raises(BenchError, match="-1 days ago is in the future"):
        disk.waste(tmp_path, -1)


@pytest.mark.parametrize("name", ["submission.json", "runs.jsonl"])
def test_a_damaged_submission_stops_nothing_and_goes_in_its_time(tmp_path, name):
    old(written(tmp_path / "features" / "clip-1" / "a").parent, 8)
    job = jobs.create(tmp_path, {"runs": [{"lease": RUN}]}, {"where": "slurm"})
    (job.folder / name).write_text("{")
    old(job.folder, 8)
    assert names(tmp_path, 9) == set() and names(tmp_path, 7) == {f"jobs/{job.job_id}"}, "it may need the features"
    shutil.rmtree(job.folder)
    assert names(tmp_path, 7) == {"features/clip-1"}


def test_what_was_cancelled_or_left_here_goes_too_and_what_waits_in_a_queue_stays(tmp_path):
    made = {}
    for name, where in (("here", "local"), ("queue", "slurm"), ("cancelled", "slurm"), ("late", "slurm")):
        made[name] = jobs.create(tmp_path, {"runs": [{"lease": RUN}]}, {"where": where})
    made["cancelled"].cancel()
    made["late"].close("runs", 0, {"lost": True, "error": "given up"})
    for job in made.values():
        old(job.folder, 8)
    assert names(tmp_path, 7) == {f"jobs/{made[name].job_id}" for name in ("here", "cancelled")}
    old(made["late"].folder / "done", 8)
    assert f"jobs/{made['late'].job_id}" in names(tmp_path, 7), "what was lost, and resumed by nobody"


def test_what_may_not_be_removed_is_told_and_is_not_said_to_be_gone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    complete(tmp_path, RUN)
    written(tmp_path / "checkpoints" / RUN / "training-1.pt", 2_000_000)
    old(written(tmp_path / "features" / "clip-1" / ".a.safetensors.1-ab.tmp"), 2)

    def another_users(path, **options):
        raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", another_users)
        code, out, err = bench(capsys, monkeypatch, "gc", "--yes")
    assert code == 1 and "0 things, 0.0 MB, are gone" in out
    assert "2 things cannot be removed" in err and f"checkpoints/{RUN}" in err and ".a.safetensors.1-ab.tmp" in err
    code, out, _ = bench(capsys, monkeypatch, "gc", "--yes")
    assert code == 0 and "2 things, 2.0 MB, are gone" in out and names(tmp_path) == set()


def test_features_that_no_run_was_made_from_go_when_they_are_old(tmp_path):
    for store_name in ("clip-1", "clip-2", "siglip-1", "x-clip-1", "x-clip-2"):
        old(written(tmp_path / "features" / store_name / "a").parent, 8)
    record(tmp_path, RUN, features="clip-1")
    record(tmp_path, OTHER, identity={"backbone": "x-clip"})  # of before a record told
    assert names(tmp_path, 7) == {"features/clip-2", "features/siglip-1"} and names(tmp_path, 9) == set()
    job = jobs.create(tmp_path, {"features": [], "runs": [{"lease": "a" * 12}]}, {})
    assert names(tmp_path, 7) == set(), "what is under way may need them"
    job.cancel()
    complete(tmp_path, "a" * 12)
    assert "features/clip-2" in names(tmp_path, 7)
    (store.run_folder(tmp_path, RUN) / "run.json").write_text("{")
    assert "features/clip-2" not in names(tmp_path, 7), "a damaged record may be of it"


def test_shared_features_are_shown_and_stay(tmp_path, monkeypatch):
    home, group = tmp_path / "home", tmp_path / "group"
    monkeypatch.setenv("BENCH_HOME", str(home))
    home.mkdir()
    (home / "site.toml").write_text(f'[places]\nfeatures = "{group}"')
    old(written(group / "clip-1" / "a", 7).parent, 90)
    left = [old(written(group / "clip-1" / ".b.safetensors.1-ab.tmp"), 2), group / ".clip-2.00000000-1-1-00000000.part"]
    left[1].mkdir()
    old(left[1], 2)
    assert [(p.name, p.num_bytes) for p in disk.parts(home)][:1] == [(str(group / "clip-1"), 8)]
    assert "shared" in disk.parts(home)[0].kind
    with Leases(places.claims(home, "features")) as mine:
        assert mine.take("living")
        dead = {"token": "t", "machine": mine.me.machine, "pid": mine.me.pid, "started": "7", "job": ""}
        left.append(written(group / "leases" / "dead"))
        left[-1].write_text(json.dumps(dead))
        assert {w.path for w in disk.waste(home, 7)} == set(left)
        assert {p.name: p.kind for p in disk.parts(home)}[str(group / "leases")] == disk.WHAT["leases"]


def test_gc_says_what_would_go_and_deletes_when_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    complete(tmp_path, RUN)
    written(tmp_path / "checkpoints" / RUN / "training-1.pt", 2_000_000)
    code, out, _ = bench(capsys, monkeypatch, "gc")
    assert (
        code == 0
        and f"2.0 MB checkpoints/{RUN} checkpoints of a complete run" in out
        and "1 things, 2.0 MB, could go" in out
    )
    assert (tmp_path / "checkpoints" / RUN).exists()
    _, out, _ = bench(capsys, monkeypatch, "gc", "--yes")
    assert "are gone" in out and not (tmp_path / "checkpoints" / RUN).exists()
    shutil.rmtree(tmp_path / "checkpoints")
    written(tmp_path / "weights" / "w", 1_500_000)
    _, out, _ = bench(capsys, monkeypatch, "du")
    assert "1.5 1 weights weights of backbones" in out


def test_runs_that_failed_go_when_they_are_asked_for_and_no_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    complete(tmp_path, RUN)
    store.write_failure(tmp_path, OTHER, {"columns": {}}, "BenchError: no map", "")
    assert names(tmp_path) == set() and bench(capsys, monkeypatch, "gc", "--yes")[0] == 0
    assert store.failure(tmp_path, OTHER)
    code, out, _ = bench(capsys, monkeypatch, "gc", "--failed", "--yes")
    assert code == 0 and f"runs/ba/{OTHER} a run without a result" in out
    assert store.failure(tmp_path, OTHER) is None and (store.run_folder(tmp_path, RUN) / "COMPLETE").is_file()
