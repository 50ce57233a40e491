"""From a run id back to the run: its record told in lines for people. Torch-free."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import stats, store
from bench._folders import RESCORE, Lists, read, scores_of
from bench.contracts import BenchError

ROWS = 5  # predictions shown
MAX_LISTED = 20
COST = (
    "seconds",
    "feature_ms",
    "fit_seconds",
    "predict_ms",
    "micro_batch",
    "peak_memory_mb",
    "start_memory_mb",
    "resolution",
    "train_resolution",
    "gflops",
    "num_trainable",
    "num_parameters",
)


def find(home: Path, prefix: str) -> str:
    """The id of the finished run that begins with these characters.

    Raises:
        BenchError: not hexadecimal, no finished run, or several (they are listed).
    """
    if not re.fullmatch(r"[0-9a-f]{1,12}", prefix):
        raise BenchError(
            f"{prefix!r} is no run id; it is 12 hexadecimal characters or the first of them (python -m bench status --runs lists them)"
        )
    found = sorted(f.name for f in (home / "runs").glob(f"{prefix[:2]}*/{prefix}*") if _is_finished(home, f.name))
    if len(found) == 1:
        return found[0]
    if not found:
        raise BenchError(
            f"there is no finished run {prefix} under {home}; python -m bench status --runs lists the runs"
        )
    more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    raise BenchError(
        f"{len(found)} runs begin with {prefix}: {', '.join(found[:MAX_LISTED])}{more}; give more characters of the one you mean"
    )


def _is_finished(home: Path, name: str) -> bool:
    if not re.fullmatch(r"[0-9a-f]{12}", name):
        return False
    folder = store.run_folder(home, name)
    return (folder / store.COMPLETE).is_file() or (folder / store.FAILED).is_file()


def raw(home: Path, run_id: str) -> dict[str, Any]:
    """The record as it lies in the folder, and of a complete run `scores` (metric -> value) beside."""
    record = store.read_record(home, run_id)
    return record | ({"scores": scores(home, run_id)} if store.is_complete(home, run_id) else {})


def scores(home: Path, run_id: str) -> dict[str, float]:
    """Metric -> value as stored, to the last digit. Raises BenchError where the file cannot be read."""
    return scored(home, run_id)[0]


def metrics_version(home: Path, run_id: str) -> int | None:
    """The version of the metrics that a run was scored by; None where it was scored before they had one."""
    return scored(home, run_id)[1]


def scored(home: Path, run_id: str) -> tuple[dict[str, float], int | None, int]:
    """Scores, version of the metrics and number of videos as scores.csv has them. Raises BenchError where it cannot be read."""
    path = store.run_folder(home, run_id) / "scores.csv"
    try:
        return scores_of(path.read_text())
    except FileNotFoundError as error:
        raise BenchError(f"{path} is missing; {RESCORE.format(run_id)}") from error
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise BenchError(f"{path} cannot be read ({error}); {RESCORE.format(run_id)}") from error


# --- show ------------------------------------------------------------------------------------------------------------


def told(home: Path, run_id: str) -> Iterator[str]:
    """A run, line by line: what was run, the scores with intervals, the predictions, how it came about, or why it failed.

    Its status is the one that the tables give it, read from the folder now.
    """
    record = store.read_record(home, run_id)
    columns, came, folder = record["columns"], record.get("provenance", {}), store.run_folder(home, run_id)
    row = read(home, run_id, Lists())
    status, reason = (row.status, row.reason) if row is not None else ("removed", "its folder has gone")
    yield f"run {run_id}: {status}"
    shots = "" if columns.get("shots") is None else f" K={columns['shots']}"
    yield f"  {columns.get('label', '')} on {columns.get('backbone', '')}, {columns.get('dataset', '')}, " + (
        f"{columns.get('protocol', '')}{shots}, split {columns.get('split', '')}, seed {columns.get('seed', '')}"
    )
    if status != "complete":
        yield ""
        yield f"why: {reason or 'no reason was recorded'}"
        yield from (f"  {line}" for line in str(record.get("traceback", "")).rstrip().splitlines())
    if status in ("complete", "damaged"):
        yield from _told_numbers(home, run_id, columns)
    yield from _section("spec", record.get("spec", {}))
    yield from _section("config (whole)", dict(map(tuple, record.get("identity", {}).get("config", []))))
    yield from _section("identity", {k: v for k, v in record.get("identity", {}).items() if k != "config"})
    yield from _section("plug-in versions", columns.get("versions", {}))
    yield from _section("backbone", record.get("backbone", {}))
    yield from _section("imported", _short(record.get("imported", {})))
    yield from _section("cost", {k: columns[k] for k in COST if columns.get(k) is not None})
    yield from _section("features were computed with", dict(enumerate(record.get("forward", []), start=1)))
    yield from _section("training", dict(enumerate(map(_trained, record.get("training", [])), start=1)))
    yield from _section("undecodable test videos", record.get("undecodable", {}))
    shown = ("command", "versions")
    machine = {k: v for k, v in came.items() if k not in shown} | (
        {"hardware": columns["hardware"]} if columns.get("hardware") else {}
    )
    yield from _section("machine and code", machine)
    yield from _section("libraries", came.get("versions", {}))
    if "command" in came:
        yield ""
        yield f"command: {pasteable(came['command'])}"
    yield f"folder:  {folder}"
    yield log_line(home, run_id)


def _trained(told: Mapping[str, Any]) -> str:
    """A training in a line: the mean losses of its epochs, and what validation chose."""
    loss, top1 = told["loss"], told.get("val_top1", [])
    shown = [f"{value:.4g}" for value in loss]
    if len(shown) > 2 * ROWS:
        shown[ROWS:-ROWS] = ["..."]
    text = f"{len(loss)} of {told['epochs']} epochs, loss {' '.join(shown)}"
    if not top1:
        return text
    return f"{text}; epoch {told['kept_epoch']} kept, top-1 {top1[told['kept_epoch'] - 1]:.4f} on validation"


def _short(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with long lists cut to their beginning and their number."""
    return {
        k: f"{len(v)}: {', '.join(map(str, v[:ROWS]))}{', ...' * (len(v) > ROWS)}" if isinstance(v, list) else v
        for k, v in values.items()
    }


def pasteable(words: Sequence[str]) -> str:
    """The words that a program was started with as a line for a shell; `python -m bench` in whichever way that was started."""
    first, *rest = map(str, words)
    if Path(first).name == "kpbench" or Path(first).parts[-2:] == ("bench", "__main__.py"):
        return shlex.join(["python", "-m", "bench", *rest])
    return shlex.join(["python", first, *rest] if first.endswith(".py") else [first, *rest])


def _told_numbers(home: Path, run_id: str, columns: Mapping[str, Any]) -> Iterator[str]:
    found, problem = None, ""
    try:
        found = store.read_predictions(home, run_id)
    except BenchError as error:
        problem = str(error)
    yield ""
    values: dict[str, float] = {}
    try:
        values, version, _ = scored(home, run_id)
        yield f"scores (metrics version {version or 'not recorded'})"
    except BenchError as error:
        yield f"scores: {error}"
    units = _per_video(found) if found is not None else {}
    width = max((len(name) for name in values), default=0)
    for name, value in values.items():
        shown = f"{value:.4f}"
        if name in units:
            each, of = units[name]
            over = stats.over_groups(each, of, str(columns.get("group_kind") or "group"))
            # Groups of different size: the interval is around their plain mean, which is another number than the score.
            around = "" if f"{over.mean:.4f}" == shown else f" around {over.mean:.4f}"
            shown += f"  [{over.low:.4f}, {over.high:.4f}]{around} over {over.over}"
        yield f"  {name:{width}}  {shown}"
    yield ""
    if found is None:
        yield f"predictions: {problem}"
        return
    yield (
        f"predictions: {store.run_folder(home, run_id) / 'predictions.npz'}: {len(found.labels)} videos, "
        f"{len(found.class_names)} classes, {len(set(found.groups))} groups, {len(found.failed)} could not be decoded"
    )
    best = found.logits.argmax(axis=1)
    names = [str(name) for name in found.class_names]
    first = pd.DataFrame(
        {
            "video_id": found.video_ids,
            "group": found.groups,
            "label": [names[i] for i in found.labels],
            "predicted": [names[i] for i in best],
            "logit": found.logits.max(axis=1),
        }
    ).head(ROWS)
    yield from (f"  {line}" for line in first.to_string(index=False, justify="left").splitlines())
    if len(found.labels) > ROWS:
        yield f"  and {len(found.labels) - ROWS} more"


def _per_video(found: store.Predictions) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Metric -> its value for each video that it is over, and their groups, for the metrics that are means over videos."""
    groups, parts = np.asarray(found.groups), np.asarray(found.parts)
    correct = (found.logits.argmax(axis=1) == found.labels).astype(float)
    units = {"top1": (correct, groups)}
    for part in sorted(set(parts.tolist())):
        units[f"{part}_top1"] = (correct[parts == part], groups[parts == part])
    return units


def _section(title: str, values: Mapping[Any, Any]) -> Iterator[str]:
    if not values:
        return
    yield ""
    yield title
    width = max(len(str(key)) for key in values)
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text = "not set" if value is None else text
        yield f"  {key!s:{width}}  {text}"


def log_line(home: Path, run_id: str) -> str:
    """Where the log of the worker that did this run lies, or those of all workers of its launch, or that there is none."""
    for job in sorted((home / "jobs").glob("*"), reverse=True):
        for done in (job / "done").glob("runs-*.json"):
            text = done.read_text(errors="replace")
            if run_id not in text:
                continue
            own = re.search(r'"log": "([^"/]+)"', text)
            if own and (job / "submitit" / own[1]).is_file():
                return f"log of its worker: {job / 'submitit' / own[1]}"
            if (job / "submitit").is_dir():
                return f"logs of all workers of its launch: {job / 'submitit'}"
            return f"log: none, it was done in the process that launched it; its launch: {job}"
    return f"log: none is left under {home / 'jobs'}"
