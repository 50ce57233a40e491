"""Studies on a real Slurm: the files and predictions of one that was tuned here, whoever dies between ask and tell."""

import pytest
from made_runs import files
from on_slurm import cluster, slurm, until

from bench import trials

pytestmark = pytest.mark.slurm
STUDY = "tune --dataset folder --backbones slow --methods slow --trials 6 --seeds 1,2 --shots 4".split()


def tuned(home, *words):
    return home.bench(*STUDY, "--root", home.videos, *words)


def study(home):
    """What a study is: its files, but those that a killed writer left."""
    return {name: content for name, content in files(home.home / "studies").items() if not name.endswith(".tmp")}


@pytest.fixture(scope="session")
def here(tmp_path_factory, package, videos, bytecode):
    """The study as it is where nobody disturbs it."""
    from on_slurm import Home

    home = Home(tmp_path_factory.mktemp("here"), package, videos, bytecode)
    tuned(home, "--where", "local", "--workers", "2")
    return home


def same(home, here):
    assert study(home) == study(here), home.logs()
    assert home.predictions == here.predictions
    assert not home.job.open_tasks("runs") and home.job.is_finished
    return True


def test_a_study_is_one_job_and_equals_the_one_tuned_here(made, here):
    home = made()
    plan = tuned(home, "--where", "slurm", "--dry-run")
    assert "0 of 6 trials complete, then 2 runs on test" in plan and "runs      1 jobs of 30 min" in plan
    assert not list(home.home.glob("studies/*")) and not home.in_queue()
    assert "1 shares of studies" in tuned(home, "--where", "slurm")
    (study_id,) = trials.study_ids(home.home)
    assert "1 studies of 6 trials" in home.bench("status", code=3)
    home.bench("cancel")
    home.finish()
    home.bench("resume")
    home.finish()
    assert same(home, here)
    assert len(set(home.predictions)) == 8, "6 trials, 2 runs on test"
    assert "Job completed successfully" in home.bench("logs", study_id)
    trial = trials.read(home.home, study_id).trials[3].runs[0]
    assert "Job completed successfully" in home.bench("logs", trial)
    assert "6 of 6 trials complete" in tuned(home, "--where", "slurm", "--dry-run")


def test_a_node_dies_between_ask_and_tell_and_others_go_on(made, here):
    home = made()
    tuned(home, "--where", "slurm", "--workers", "2")
    (study_id,) = trials.study_ids(home.home)
    place = trials.folder(home.home, study_id)
    until(home.steps)
    node = slurm("squeue", "--me", "--noheader", "--states=R", "--format=%N").split()[0]
    cluster("dead", node)
    asked, told = (len(list((place / name).glob("*.json"))) for name in ("proposals", "trials"))
    assert told < asked
    home.finish()
    cluster("start", node)
    assert same(home, here)
