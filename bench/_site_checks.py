"""Does a site file fit its cluster? What `doctor` asks Slurm, check by check."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.contracts import BenchError
from bench.slurm import ask, asked

if TYPE_CHECKING:
    from bench.sites import Resources, Site


def problems(site: Site) -> list[str]:
    """What is wrong with each kind of job, in words; nothing where Slurm would take them all.

    Raises:
        BenchError: Slurm does not answer.
    """
    known = _partitions()
    found = []
    for kind, wanted in (("features", site.features), ("runs", site.runs)):
        for text in (*_partition(wanted, known), *_account(wanted), *_gpus(site, wanted)):
            found.append(f"[{kind}] {text}")
    return found or _tried(site)


def accounting() -> str | None:
    """What is wrong with Slurm's accounting; None where it answers. Nothing here needs it."""
    try:
        ask("sacct", "-X", "-n", "--starttime", "now")
    except BenchError as error:
        return str(error)
    return None


def _partitions() -> dict[str, float]:
    """Partition -> its time limit in minutes; "" is the default one."""
    found: dict[str, float] = {}
    for line in ask("scontrol", "show", "partition", "--oneliner").splitlines():
        told = dict(re.findall(r"(\w+)=(\S+)", line))
        minutes = _limit(told.get("MaxTime", "UNLIMITED"))
        found[told["PartitionName"]] = minutes
        if told.get("Default") == "YES":
            found[""] = minutes
    return found


def _limit(text: str) -> float:
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", text)
    if found is None:
        return float("inf")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes + seconds / 60


def _partition(wanted: Resources, known: dict[str, float]) -> list[str]:
    names = wanted.partition.split(",") if wanted.partition else [""]
    there = ", ".join(sorted(name for name in known if name)) or "none"
    if unknown := [name for name in names if name not in known]:
        return [
            f"there is no partition {unknown[0]!r} (there are {there})"
            if unknown[0]
            else f"no default partition; name one of {there}"
        ]
    most = max(known[name] for name in names)
    return [f"time is {wanted.time_min} minutes, the partition's limit is {most:g}"] if wanted.time_min > most else []


def _account(wanted: Resources) -> list[str]:
    if not wanted.account:
        return []
    try:
        mine = ask("sacctmgr", "-n", "-P", "list", "associations", "format=account,user").splitlines()
    except BenchError:
        return []  # without accounting there is nobody to ask; sbatch tells
    accounts = sorted({line.partition("|")[0] for line in mine if line})
    return (
        []
        if wanted.account in accounts
        else [f"there is no account {wanted.account!r} (there are {', '.join(accounts)})"]
    )


def _gpus(site: Site, wanted: Resources) -> list[str]:
    if site.device == "cuda" and not wanted.num_gpus:
        return ['device is "cuda", and no gpus or gres is asked for']
    return []


def _tried(site: Site) -> list[str]:
    """What `sbatch --test-only` says, which submits nothing."""
    found = []
    for kind, wanted in (("features", site.features), ("runs", site.runs)):
        words = ["sbatch", "--test-only", f"--time={wanted.time_min}", f"--cpus-per-task={wanted.cpus}", *wanted.sbatch]
        words += [
            f"--{name}={value}" for name in ("partition", "account", "qos", "gres") if (value := getattr(wanted, name))
        ]
        words += [f"--mem={wanted.memory_gb}G"] if wanted.memory_gb else []
        words += [f"--gpus-per-node={wanted.gpus}"] if wanted.gpus else []
        done = asked(*words, "--wrap=true")
        if done.returncode:
            found.append(f"[{kind}] {' '.join(done.stderr.split())}")
    return found
