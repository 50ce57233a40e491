"""What a cluster wants of a job, from one small TOML file: docs/site.example.toml shows every key."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contracts import BenchError

VARIABLE, NAME = "BENCH_SITE", "site.toml"
DEVICES = ("cpu", "cuda")
LEAST_MIN = 1


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Of one job of a kind of work. `time_min` in minutes, `memory_gb` in GB; "" and 0 leave it to the cluster's default."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    time_min: int = 240
    memory_gb: int = 0
    cpus: int = 2
    gpus: int = 0
    gres: str = ""
    max_jobs: int = 16
    sbatch: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    @property
    def num_gpus(self) -> int:
        """GPUs that a job asks for, in whichever of the ways: `gpus`, `gres`, or a line of `sbatch`."""
        asked = [("gpus", str(self.gpus or "")), ("gres", self.gres)]
        asked += [(key, value) for key, _, value in (line.removeprefix("--").partition("=") for line in self.sbatch)]
        counts = [_gpus(value, key == "gres") for key, value in asked if key == "gres" or key.startswith("gpus")]
        return max(counts)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A cluster: where backbones run, where things lie, how jobs start, and the resources of the two kinds of work.

    `home` and `store`, of features, are whole paths, or "" for where they lie without being told; `scratch` is a shell's word, which
    is expanded on a node.
    """

    path: Path
    device: str = "cuda"
    python: str = ""
    home: str = ""
    store: str = ""
    scratch: str = ""
    features: Resources
    runs: Resources


KINDS = ("features", "runs")
TOP = ("device", "python")
PLACES = {"home": "home", "features": "store", "scratch": "scratch"}  # key in [places] -> field


def find(home: Path) -> Path:
    """The site file: $BENCH_SITE, else site.toml in $BENCH_HOME. Raises BenchError where there is none."""
    path = _path(home)
    if not path.is_file():
        named = f"${VARIABLE} is {path}, and there is no such file"
        where = named if os.environ.get(VARIABLE) else f"there is no site file at {path}"
        raise BenchError(f"{where}; copy docs/site.example.toml there and fill in your cluster's partition and account")
    return path


def is_there(home: Path) -> bool:
    """Whether a site file is named, or lies in the home."""
    return bool(os.environ.get(VARIABLE)) or _path(home).is_file()


def _path(home: Path) -> Path:
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().resolve() if named else home / NAME


def load(path: Path) -> Site:
    """Read a site file. Raises BenchError that names the file, the key and what it may be."""
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BenchError(f"{path} cannot be read as TOML: {error}") from error
    tables = {kind: told.pop(kind, {}) for kind in KINDS}
    own = {key: told.pop(key) for key in TOP if key in told}
    places = told.pop("places", {})
    _of_type(path, "places", places, dict)
    for key, value in own.items():
        _of_type(path, key, value, str)
    if own.get("device", "cuda") not in DEVICES:
        raise BenchError(f"{path}: device is {own['device']!r}; it is one of {', '.join(DEVICES)}")
    for kind, table in tables.items():
        _of_type(path, kind, table, dict)
    made = {kind: _resources(path, {**told, **table}, told, kind, table) for kind, table in tables.items()}
    return Site(path=path, features=made["features"], runs=made["runs"], **own, **_places(path, places))


def _places(path: Path, told: Mapping[str, Any]) -> dict[str, str]:
    """What [places] says, by field; `~` and variables are expanded here, but for what only a node knows."""
    found = {}
    for key, value in told.items():
        if key not in PLACES:
            raise _unknown(path, "[places] ", key, list(PLACES))
        _of_type(path, key, value, str)
        if key != "scratch" and value:
            value = os.path.expanduser(os.path.expandvars(value))  # noqa: PTH111 - both on text
            if not os.path.isabs(value) or "$" in value:  # noqa: PTH117
                unset = re.search(r"\$\{?(\w+)", value)
                why = f"${unset[1]} is not set" if unset else "it is a whole path"
                raise BenchError(f"{path}: {key} in [places] is {value!r}; {why}")
        found[PLACES[key]] = value
    return found


def _resources(
    path: Path, values: Mapping[str, Any], common: Mapping[str, Any], kind: str, own: Mapping[str, Any]
) -> Resources:
    fields = {f.name: f for f in dataclasses.fields(Resources)}
    known = ["time" if name == "time_min" else name for name in fields]
    for where, table in (("", common), (f"[{kind}] ", own)):
        for key in table:
            if key not in known:
                raise _unknown(path, where, key, [*known, *(() if where else (*TOP, "places", *KINDS))])
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key == "time":
            found["time_min"] = _minutes(path, value)
        elif key in ("sbatch", "setup"):
            if not isinstance(value, list) or not all(isinstance(line, str) and "\n" not in line for line in value):
                raise BenchError(f"{path}: {key} is a list of lines in quotes, not {value!r}")
            found[key] = tuple(value)
        else:
            _of_type(path, key, value, type(fields[key].default))
            found[key] = value
    made = Resources(**found)
    for key in ("memory_gb", "gpus"):
        if getattr(made, key) < 0:
            raise BenchError(f"{path}: {key} is {getattr(made, key)}; it is at least 0")
    for key in ("cpus", "max_jobs"):
        if getattr(made, key) < 1:
            raise BenchError(f"{path}: {key} is {getattr(made, key)}; it is at least 1")
    for line in made.sbatch:
        if not line.startswith("--"):
            raise BenchError(
                f"{path}: sbatch has the line {line!r}; each is an option of sbatch such as --constraint=a100"
            )
    if made.gpus and made.gres:
        raise BenchError(f"{path}: give gpus or gres, not both")
    return made


def _gpus(text: str, gres: bool) -> int:
    """Of "2" or "a100:2", and as generic resources "gpu", "gpu:2", "gpu:a100:2", beside others after commas."""
    total = 0
    for part in filter(None, text.split(",")):
        name, *rest = part.split(":") if gres else ("gpu", *part.split(":"))
        if name == "gpu":
            total += int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return total


def _unknown(path: Path, where: str, key: str, known: list[str]) -> BenchError:
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}"
    return BenchError(f"{path}: {where}there is no key {key!r}; {hint}")


def _of_type(path: Path, key: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "text in quotes", int: "a whole number", dict: f"a table: a line [{key}] and its keys below"}
        raise BenchError(f"{path}: {key} is {value!r}; it is {names[kind]}")
    if isinstance(value, str) and re.search(r"[\n\r\0]", value):
        raise BenchError(f"{path}: {key} holds a line break")


def _minutes(path: Path, value: Any) -> int:
    """Minutes from a number of them, or text as Slurm writes times: "MM", "HH:MM:SS", "D-HH:MM:SS"."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", value) if isinstance(value, str) else None
    if found:
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        total = (days * 24 + hours) * 60 + minutes + (seconds > 0)
    elif isinstance(value, int) and not isinstance(value, bool):
        total = value
    elif isinstance(value, str) and value.isdecimal():
        total = int(value)
    else:
        raise BenchError(f'{path}: time is {value!r}; write minutes, or "HH:MM:SS" or "D-HH:MM:SS" in quotes')
    if total < LEAST_MIN:
        raise BenchError(f"{path}: time is {value!r}; it is at least {LEAST_MIN} minute")
    return total
