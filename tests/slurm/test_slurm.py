"""What clusters do to a sweep: it ends with every run exactly once, with the bytes of one that nobody disturbed."""

import os
import re
import shutil
import signal
import subprocess

import pytest
from on_slurm import cluster, slurm, until

from bench import _site_checks, sites
from bench._inside import PACKAGES
from bench.plugins import ROOT

pytestmark = pytest.mark.slurm
LONG = "40,40,40,40"  # epochs of .1 s: long enough to be disturbed in


def test_a_sweep_through_arrays_and_dependencies(made, undisturbed, tmp_path):
    (tmp_path / "group").mkdir()
    home = made(shared=tmp_path / "group")
    said = home.submit()
    assert "16 runs" not in said and "4 runs" in said and "round 2" in said
    shown = home.bench("status", code=3)
    assert home.job.job_id in shown
    home.finish()
    assert home.is_whole(undisturbed())
    order = [line.split()[0] for line in home.log.read_text().splitlines()]
    assert order == sorted(order), "every video is encoded before the first step"
    assert len(home.steps()) == 16
    assert "slow 3" in home.bench("status")
    run_id = next(iter(home.predictions))
    assert "Job completed successfully" in home.bench("logs", run_id)
    before = home.log.read_text()
    assert "4 complete" in home.submit() and home.log.read_text() == before and not home.in_queue()
    assert list((tmp_path / "group").glob("*/*.safetensors")) and not (home.home / "features").exists()
    colleague = made("b", shared=tmp_path / "group")
    assert "0 videos to encode" in colleague.submit("--dry-run")


def test_preempted_from_the_low_partition(made, undisturbed):
    home = made(runs=LONG)
    home.site(partition="low")
    home.submit()
    until(lambda: len(home.steps()) > 12)
    high = slurm("sbatch", "--parsable", "-p", "high", "-N4", "--exclusive", "--wrap", "sleep 3").strip()
    until(lambda: high in "".join(x for x in home.in_queue() if x.endswith("RUNNING")), why=home.in_queue)
    assert not [j for j in home.running() if not j.startswith(high)], "all of ours made way"
    home.finish()
    assert home.is_whole(undisturbed(runs=LONG))
    assert len(home.steps()) <= 160 + 8, "they went on from their checkpoints"


def test_requeued_by_hand(made, undisturbed):
    home = made(runs=LONG)
    home.submit()
    until(lambda: len(home.steps()) > 12)
    for job in home.running():
        slurm("scontrol", "requeue", job)
    home.finish()
    assert home.is_whole(undisturbed(runs=LONG))


def test_a_time_limit_is_gone_over_in_several_goes(made, undisturbed):
    home = made(runs="500")
    home.site(partition="short", time=1)
    home.submit()
    home.finish()
    assert home.is_whole(undisturbed(runs="500"))
    assert len(home.steps()) <= 500 + 3, "it went on from its checkpoint"
    assert len({line.split()[2] for line in home.log.read_text().splitlines() if line.startswith("step")}) >= 2


def test_workers_killed(made, undisturbed):
    home = made(runs=LONG)
    home.submit()
    for _ in range(2):
        for worker in until(home.workers):
            os.kill(worker, signal.SIGKILL)
        seen = len(home.steps())
        until(lambda seen=seen: len(home.steps()) > seen)
    home.finish()
    assert home.is_whole(undisturbed(runs=LONG))


@pytest.mark.parametrize("how", ["kill", "dead"])
def test_a_node_is_lost(made, undisturbed, how):
    home = made(runs=LONG)
    home.submit()
    until(lambda: len(home.steps()) > 10)
    node = slurm("squeue", "--me", "--noheader", "--states=R", "--format=%N").split()[0]
    cluster(how, node)
    until(lambda: "n" not in slurm("sinfo", "-h", "-n", node, "-t", "idle,alloc,mix", "-o", "%N"))
    cluster("start", node)
    home.finish()
    assert home.is_whole(undisturbed(runs=LONG))


def test_two_submissions_of_one_sweep_at_once(made, undisturbed):
    home = made(runs=LONG)
    both = [home.start(*home.sweep, "--where", "slurm") for _ in range(2)]
    said = [p.communicate()[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    home.finish()
    assert home.is_whole(undisturbed(runs=LONG)) and len(home.steps()) == 160, "nothing is done twice"
    assert home.encoded() == 32


def test_cancelled_and_resumed(made, undisturbed):
    home = made(runs=LONG)
    home.submit()
    until(lambda: len(home.steps()) > 12)
    home.bench("cancel")
    home.finish()
    assert not home.predictions and home.job.open_tasks("runs") and "cancelled" in home.bench("status", code=1)
    home.bench("resume")
    home.finish()
    assert home.is_whole(undisturbed(runs=LONG))
    assert len(home.steps()) <= 160 + 8, "what was cancelled left checkpoints"
    assert "nothing is left" in home.bench("resume")


def test_a_full_disk(made, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk], check=True)
    try:
        home = made(runs=LONG, home=disk / "home")
        home.submit()
        until(lambda: len(home.steps()) > 12)
        with (disk / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"\0" * 4096)
            except OSError:
                pass
        home.finish()
        assert not home.predictions and not list(home.home.glob("runs/*/.*"))
        (disk / "filler").unlink()
        home.bench("status", code=1)
        home.bench("resume")
        home.finish()
        assert home.is_whole(undisturbed(runs=LONG))
    finally:
        subprocess.run(["scancel", "--me"], check=False)
        until(lambda: not slurm("squeue", "--me", "--noheader"))
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def tree(tmp_path):
    """A copy of the source tree that a test may change."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "tree" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "tree"


@pytest.mark.parametrize("frozen", [False, True])
def test_what_starts_is_what_was_submitted(made, undisturbed, tree, frozen):
    home = made()
    home.tree = tree
    blocker = slurm("sbatch", "--parsable", "-N4", "--exclusive", "--wrap", "sleep 600").strip()
    home.submit(*(["--snapshot"] if frozen else []))
    with (tree / "baselines" / "coop.py").open("a") as source:
        source.write("\n# a later thought\n")
    slurm("scancel", blocker)
    home.finish()
    if frozen:
        assert home.is_whole(undisturbed())
    else:
        assert not home.predictions and not home.steps()
        assert "the source tree changed since" in home.logs()
        home.bench("status", code=1)
        assert "the source tree changed since" in home.bench("resume", code=2)


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ({"partition": "nowhere"}, "Slurm does not take the job .*invalid partition"),
        ({"account": "nobody"}, "Slurm does not take the job .*[Ii]nvalid account"),
        ({"gres": "gpu:9"}, "Slurm does not take the job "),
        ({"partitions": "debug"}, "there is no key 'partitions'; did you mean partition"),
    ],
)
def test_what_slurm_does_not_take_is_said_and_leaves_nothing(made, site, said):
    home = made()
    home.site(**site)
    assert re.search(said, " ".join(home.submit(code=2).split()))
    assert not home.in_queue() and not list((home.home / "jobs").glob("*"))


def test_doctor_asks_the_cluster(made):
    assert "site.toml fits this cluster" in made().bench("doctor")


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ({"partition": "nowhere"}, r"\[runs\] there is no partition 'nowhere' \(there are debug, high, low, short\)"),
        ({"partition": "short"}, r"\[features\] time is 30 minutes, the partition's limit is 1"),
        ({"account": "nobody"}, r"there is no account 'nobody' \(there are lab"),
        ({"gres": "gpu:9"}, "Requested node configuration is not available"),
        ({"device": "cuda"}, 'device is "cuda", and no gpus or gres is asked for'),
    ],
)
def test_what_does_not_fit_the_cluster_is_said_before_it_is_submitted(made, site, said):
    home = made()
    home.site(**site)
    assert re.search(said, "; ".join(_site_checks.problems(sites.load(home.home / "site.toml"))))


def test_accounting_that_does_not_answer_stops_nothing(made, undisturbed):
    home = made()
    cluster("sacct", "off")
    try:
        home.submit()
        home.finish()
        assert home.is_whole(undisturbed())
    finally:
        cluster("sacct", "on")
        until(lambda: subprocess.run(["sacctmgr", "-n", "list", "cluster"], capture_output=True).returncode == 0)


def test_a_run_that_does_not_exist_and_a_submission_that_does_not(made):
    home = made()
    home.submit()
    assert "holds a run or study 'ffffffffffff'" in home.bench("logs", "ffffffffffff", code=2)
    assert "there is no submission 'nope'" in home.bench("cancel", "nope", code=2)
    home.finish()
    assert len(home.predictions) == 4
