"""Studies on a real Slurm: the same trials, whoever asks and tells, and whoever is killed in between."""

import os
import signal

import pytest
from on_slurm import until

from bench import trials

pytestmark = pytest.mark.slurm
BUDGET = ("--trials", 6, "--batch", 2, "--seeds", "1,2", "--shots", 4)


@pytest.fixture(scope="session")
def tuned(undisturbed):
    """The home of a study that nobody disturbed, in processes of one machine."""
    home = undisturbed("1")
    home.bench(*words(home), "--where", "local", "--workers", "2")
    return home


def words(home):
    return ("tune", "--dataset", "folder", "--root", home.videos, "--backbones", "slow", "--methods", "slow", *BUDGET)


def files(home):
    """What is written of the studies, without left-overs of writers that were killed."""
    found = [p for p in home.home.glob("studies/**/*") if p.is_file() and p.suffix != ".tmp"]
    return {str(p.relative_to(home.home)): p.read_bytes() for p in found}


def same(home, tuned):
    assert files(home) == files(tuned)
    assert home.predictions.items() <= tuned.predictions.items() and len(home.predictions) >= 6 + 2
    assert not home.job.open_tasks("runs")
    return True


def test_a_study_through_slurm(made, tuned):
    home = made()
    home.site(max_jobs=2)
    said = home.bench(*words(home), "--where", "slurm", "--dry-run")
    assert "runs" in said and "2 jobs of" in said and "hours" in said and not list(home.home.glob("studies/*"))
    said = home.bench(*words(home), "--where", "slurm")
    assert "submitted" in said and "1 studies" in said
    home.finish()
    assert same(home, tuned)
    before = files(home)
    said = home.bench(*words(home), "--where", "slurm")
    assert "validation top-1" in said and files(home) == before and not home.in_queue(), "nothing was left to do"


def test_whoever_asks_may_die_before_anybody_is_told(made, tuned):
    home = made()
    home.site(max_jobs=2)
    home.bench(*words(home), "--where", "slurm")
    (study_id,) = until(lambda: trials.study_ids(home.home))
    folder = trials.folder(home.home, study_id)

    def asked():
        told = {p.name for p in folder.glob("trials/*.json")}
        return len(told) >= 2 and {p.name for p in folder.glob("proposals/*.json")} - told and home.workers()

    for worker in until(asked, why=home.logs):
        os.kill(worker, signal.SIGKILL)
    home.finish()
    assert same(home, tuned)
    assert len({line.split()[2] for line in home.log.read_text().splitlines() if line.startswith("step")}) > 2
