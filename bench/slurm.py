"""Submissions to Slurm: arrays of workers through submitit, which wait for each other by dependencies; no process stays behind.

The workers of the runs start when those of the features have ended, however that was (`afterany`): they make up for what is missing.
Two rounds of a few workers follow, which end at once where nothing is left. What Slurm is asked afterwards is one `squeue`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import devices, jobs, sites
from bench._inside import PACKAGES, ROOT
from bench.contracts import BenchError
from bench.leases import LAPSE_S
from bench.provenance import COMMAND, source_digest
from bench.slurm_worker import SlurmWorker

if TYPE_CHECKING:
    from bench.jobs import Job
    from bench.sites import Resources, Site

ROUNDS = 2  # of a few workers after the arrays, for what was lost with a worker
ROUND_WORKERS = 4
SIGNAL_S = 90  # before the limit of a job's time; a quarter of that where it is short
ASK_S = 30  # for an answer of Slurm's commands
NAME = r"kpbench-(\d{8}-\d{6}-[0-9a-f]{6})-.+"  # of a submission's jobs: what Slurm knows them by, whatever became of who submitted them


def submit(job: Job, site: Site, root: Path = ROOT) -> dict[str, list[str]]:
    """Start workers for what is open of a submission; ids of the arrays, stage by stage.

    Args:
        root: where the workers import the code from.

    Raises:
        BenchError: Slurm refuses, with its own words; nothing of this submission stays in its queue.
    """
    for tool in ("sbatch", "srun", "scontrol"):
        if shutil.which(tool) is None:
            raise BenchError(
                f"there is no {tool} here; submit on a login node of the cluster, or run with --where local"
            )
    features, runs = (len(job.open_tasks(stage)) for stage in jobs.STAGES)
    most = _max_array()
    ids: dict[str, list[str]] = {}
    before: list[str] = []
    with _environment(site, job.home, root):
        try:
            for one in planned(features, runs, site):
                calls = [SlurmWorker(str(job.folder), one.stage, n, one.count, one.linger_s) for n in range(one.count)]
                parts = [calls[start : start + most] for start in range(0, one.count, most)]
                for part in parts:
                    ids.setdefault(one.name, []).append(_array(part, job, one, site, before, root))
                before = ids[one.name]
        except BaseException as error:
            taken = {i for known in ids.values() for i in known}
            with suppress(BenchError):  # Ctrl-C within sbatch: Slurm has a job whose id nobody was told
                taken |= _arrays(job)
            _scancel(sorted(taken))
            if isinstance(error, subprocess.CalledProcessError) or type(error).__name__ == "FailedJobError":
                raise BenchError(
                    f"Slurm does not take the job ({_words(error)}), which asks for {_wanted(one.wanted)}; {site.path} says so"
                ) from error
            raise
    return ids


@dataclass(frozen=True)
class Workers:
    """An array of `count` workers of a stage, which wait `linger_s` for what others hold."""

    name: str
    stage: str
    count: int
    linger_s: float
    wanted: Resources


def planned(features: int, runs: int, site: Site) -> list[Workers]:
    """The arrays that so many open tasks of features and runs are given to, in the order in which they wait for each other."""
    found = []
    if features:
        found.append(Workers("features", "features", min(features, site.features.max_jobs), 0.0, site.features))
    if runs:
        workers = min(runs, site.runs.max_jobs)
        found.append(Workers("runs", "runs", workers, 0.0, site.runs))
        few = min(workers, ROUND_WORKERS)
        found += [Workers(f"round {n + 1}", "runs", few, 2 * LAPSE_S, site.runs) for n in range(ROUNDS)]
    return found


def _array(
    calls: Sequence[Callable[[], str]], job: Job, one: Workers, site: Site, after: Sequence[str], root: Path
) -> str:
    import submitit

    name, wanted = one.name, one.wanted
    executor = submitit.SlurmExecutor(folder=job.folder / "submitit", python=site.python or None)
    # `python -m` looks into the current folder first, before $PYTHONPATH.
    more: dict[str, Any] = {"requeue": True, "chdir": str(root)}
    if after:
        more["dependency"] = f"afterany:{':'.join(after)}"
    for line in wanted.sbatch:
        key, sign, value = line.removeprefix("--").partition("=")
        more[key] = value if sign else True
    asked = {
        "partition": wanted.partition or None,
        "account": wanted.account or None,
        "qos": wanted.qos or None,
        "gres": wanted.gres or None,
        "mem": f"{wanted.memory_gb}G" if wanted.memory_gb else None,  # Slurm takes a number alone for megabytes
        "gpus_per_node": wanted.gpus or None,
    }
    executor.update_parameters(
        job_name=f"kpbench-{job.job_id}-{name.replace(' ', '-')}",
        time=wanted.time_min,
        cpus_per_task=wanted.cpus,
        ntasks_per_node=1,
        nodes=1,
        array_parallelism=len(calls),  # submitit would let 256 run at once
        signal_delay_s=min(SIGNAL_S, wanted.time_min * 15),
        setup=[*_scratch(site), *wanted.setup],
        additional_parameters=more,
        wckey=None,
        **{key: value for key, value in asked.items() if value is not None},
    )
    submitted = executor.map_array(_call, calls)
    return submitted[0].job_id.partition("_")[0]


def _wanted(wanted: Resources) -> str:
    """What a job asks for, in words: Slurm does not tell which of it is too much."""
    named = ("partition", "account", "qos", "gres", "gpus")
    told = [f"{name} {value}" for name in named if (value := getattr(wanted, name))]
    memory = [f"{wanted.memory_gb:g} GB"] if wanted.memory_gb else []
    return ", ".join([*told, f"{wanted.cpus} CPUs", *memory, f"{wanted.time_min} min"])


def _call(worker: SlurmWorker) -> str:
    return worker()


def _scratch(site: Site) -> list[str]:
    return [f'export TMPDIR="{site.scratch}"', 'mkdir -p "$TMPDIR"'] if site.scratch else []


@contextmanager
def _environment(site: Site, home: Path, root: Path) -> Iterator[None]:
    """What `sbatch` passes on to the workers."""
    told = {
        "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "BENCH_HOME": str(home),
        sites.VARIABLE: str(site.path),
        COMMAND: json.dumps(sys.argv),
        devices.VARIABLE: site.device,
    }
    before = dict(os.environ)
    os.environ.update(told)
    os.environ.pop("SBATCH_JOB_NAME", None)  # it would win over the name that a submission's jobs are found by
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def snapshot(job: Job) -> Path:
    """A frozen copy of the source tree in the submission's folder, for workers to run from."""
    root = job.folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


# --- afterwards ----------------------------------------------------------------------------------------------------------


def is_on_slurm(job: Job) -> bool:
    """Whether it was submitted to Slurm."""
    return job.submission.get("where") == "slurm"


def queue() -> dict[str, dict[str, int]]:
    """Submission -> state -> how many of its jobs, of all that this user has in the queue; one question to Slurm.

    Raises:
        BenchError: Slurm does not answer.
    """
    found: dict[str, dict[str, int]] = {}
    for job_id, _, state in _queued():
        states = found.setdefault(job_id, {})
        states[state] = states.get(state, 0) + 1
    return found


def _queued() -> Iterator[tuple[str, str, str]]:
    """Submission, array id and state of each job of this user's submissions that is in the queue."""
    for line in ask("squeue", "--me", "--noheader", "--array", "--format=%F %T %j").splitlines():
        array, state, *name = line.strip().split(maxsplit=2)
        if mine := re.fullmatch(NAME, "".join(name)):  # others' may have none
            yield mine[1], array, state


def cancel(job: Job) -> None:
    """Take a submission's jobs out of the queue; workers that start all the same find that it is cancelled.

    Raises:
        BenchError: it is not on Slurm, or Slurm does not answer.
    """
    if not is_on_slurm(job):
        raise BenchError(f"{job.job_id} was not submitted to Slurm; Ctrl-C ends it where it runs")
    job.cancel()
    if ids := _arrays(job):
        ask("scancel", *sorted(ids))


def _arrays(job: Job) -> set[str]:
    """Ids of a submission's arrays that are in the queue."""
    return {array for job_id, array, _ in _queued() if job_id == job.job_id}


def _scancel(ids: Sequence[str]) -> None:
    if ids:
        subprocess.run(["scancel", *ids], capture_output=True, timeout=ASK_S, check=False)


def _max_array() -> int:
    """Jobs that an array of this cluster may have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(found[1]) - 1) if found else 1000


def ask(*words: str) -> str:
    """What a command of Slurm's answers.

    Raises:
        BenchError: there is no such command, it fails, or it does not answer within ASK_S.
    """
    done = asked(*words)
    if done.returncode:
        raise BenchError(f"{' '.join(words[:2])} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    """As `ask`, for where a refusal is an answer too: its exit code and what it said."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=ASK_S)
    except FileNotFoundError:
        raise BenchError(f"there is no {words[0]} here; ask on a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"{words[0]} does not answer within {ASK_S} s; Slurm may be down: try again later") from None


def _words(error: BaseException) -> str:
    """What sbatch said, in a line."""
    said = getattr(error, "stderr", None) or str(error)
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    lines = [line.strip() for line in text.splitlines() if "sbatch: error" in line]
    return "; ".join(line.replace("sbatch: error: ", "") for line in lines) or " ".join(text.split())[-300:]


def told(site: Site) -> dict[str, Any]:
    """What a submission keeps of how it was submitted."""
    return {
        "where": "slurm",
        "site": str(site.path),
        "device": site.device,
        "source": source_digest(),
    }
