"""A table of runs: made of what the folders say, put together from parts, handed out as pandas. Shape legend: N test videos."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench._folders import LISTS, Lists, Row

# A column of run.json is "c:<its name>", a metric "m:<its name>". Of the former, a large_string holds JSON texts: values of several
# types or nested ones. `keys` and `metrics` are JSON lists of the names that the run itself has.
_FIXED = pa.schema(
    [("run_id", pa.string()), ("marker", pa.string()), ("files", pa.string())]
    + [("status", pa.string()), ("reason", pa.string()), ("keys", pa.string()), ("config", pa.string())]
    + [("metrics_version", pa.int64()), ("metrics", pa.string()), ("tested", pa.string()), ("bits", pa.large_binary())]
)
_LISTS = pa.schema(
    [("digest", pa.string())] + [(name, pa.list_(pa.int64() if name == "labels" else pa.string())) for name in LISTS]
)
_SCALARS = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


@dataclass(frozen=True, eq=False)
class Videos:
    """The N test videos that a run was scored on, in the order of its predictions; runs with the same list share one.

    `ids`, `groups` `(N,)`; `labels` int64 `(N,)` into `class_names`; `parts` `(N,)` ("base" or "novel"), or `(0,)` where the protocol
    knows no parts. `digest` is 16 hex characters over all of them.
    """

    digest: str
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Index:
    """All runs of a home at one time: a row a run, by run id, and a row a distinct list of test videos, by digest."""

    runs: pa.Table
    lists: pa.Table

    def videos(self, digest: str) -> Videos:
        """A list of test videos by its digest."""
        row = {name: self.lists[name][self._list_places[digest]].values for name in LISTS}
        text = {name: tuple(row[name].to_pylist()) for name in ("video_ids", "groups", "class_names", "parts")}
        labels = row["labels"].to_numpy(zero_copy_only=False).astype(np.int64)
        names = tuple(row["class_names"].to_pylist())
        return Videos(digest, text["video_ids"], text["groups"], labels, names, text["parts"])

    def tested(self, run_id: str) -> tuple[str, np.ndarray] | None:
        """Digest of a complete run's list of videos, and uint8 packed bits of which were right; None where there is no such run."""
        place = self._places.get(run_id)
        if place is None or not (digest := self._tested[place]):
            return None
        ends, bits = self._bits
        return digest, bits[ends[place] : ends[place + 1]]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {run_id: i for i, run_id in enumerate(self.runs["run_id"].to_pylist())}

    @cached_property
    def _tested(self) -> list[str]:
        return self.runs["tested"].to_pylist()  # type: ignore[no-any-return]

    @cached_property
    def _bits(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each run's bits end in all of them, `(R + 1,)` with a 0 in front, and all of them: asked for run by run, Arrow is slow."""
        column = self.runs["bits"]
        ends = np.concatenate([[0], np.cumsum(pc.binary_length(column).to_numpy())])
        return ends, np.frombuffer(b"".join(column.to_pylist()), dtype=np.uint8)

    @cached_property
    def _list_places(self) -> dict[str, int]:
        return {digest: i for i, digest in enumerate(self.lists["digest"].to_pylist())}


def of_rows(rows: Sequence[Row], lists: Lists) -> Index:
    """The table of some runs, and of the lists of videos that they were tested on."""
    fixed: Mapping[str, list[Any]] = {
        "run_id": [r.run_id for r in rows],
        **{name: [getattr(r.stamp, name) for r in rows] for name in ("marker", "files")},
        **{name: [getattr(r, name) for r in rows] for name in ("status", "reason", "config", "metrics_version")},
        "keys": [json.dumps(list(r.columns)) for r in rows],
        "metrics": [json.dumps(list(r.scores)) for r in rows],
        "tested": [r.tested for r in rows],
        "bits": [r.correct for r in rows],
    }
    columns = {field.name: pa.array(_clean(fixed[field.name]), field.type) for field in _FIXED}
    columns |= {f"c:{key}": _column([r.columns.get(key) for r in rows]) for key in _union(r.columns for r in rows)}
    columns |= {
        f"m:{m}": pa.array([r.scores.get(m) for r in rows], pa.float64()) for m in _union(r.scores for r in rows)
    }
    found = [{"digest": key, **dict(zip(LISTS, values, strict=True))} for key, values in lists.by_digest.items()]
    return merged([Index(pa.table(columns), pa.Table.from_pylist(found, _LISTS))])


def _clean(values: list[Any]) -> list[Any]:
    """Texts that UTF-8 cannot hold (half of a surrogate pair, from a file's name) with a mark in place of what it cannot."""
    return [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values]


def _union(names: Iterable[Iterable[str]]) -> list[str]:
    """Every name once, in the order in which they come."""
    return list(dict.fromkeys(name for some in names for name in some))


def _column(values: list[Any]) -> pa.Array:
    """Values of JSON as an array: of their type where they have one, as JSON texts otherwise."""
    values = _clean(values)
    types = {type(v) for v in values if v is not None}
    if len(types) <= 1 and types <= _SCALARS.keys():
        try:
            return pa.array(values, _SCALARS[types.pop()] if types else pa.null())
        except OverflowError:
            pass  # too long a number
    return pa.array([None if v is None else json.dumps(v, sort_keys=True) for v in values], pa.large_string())


# --- putting tables together -----------------------------------------------------------------------------------------


def merged(parts: Sequence[Index]) -> Index:
    """One index of the runs of several, the same whichever way they were divided."""
    fixed = pa.concat_tables([p.runs.select(_FIXED.names) for p in parts])
    order = pc.sort_indices(fixed, sort_keys=[("run_id", "ascending")])
    fixed = fixed.take(order).combine_chunks()
    columns = {name: fixed[name] for name in _FIXED.names}
    for kind, names in (("c", "keys"), ("m", "metrics")):
        for name in _union(json.loads(text) for text in fixed[names].unique().to_pylist()):
            whole = _joined([_get(p.runs, f"{kind}:{name}") for p in parts])
            columns[f"{kind}:{name}"] = whole.take(order)
    lists = pa.concat_tables([p.lists for p in parts])
    first = {digest: i for i, digest in reversed(list(enumerate(lists["digest"].to_pylist())))}
    used = sorted(set(fixed["tested"].unique().to_pylist()) - {""})
    return Index(pa.table(columns), lists.take(pa.array([first[d] for d in used], pa.int64())).combine_chunks())


def _get(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows)
    found = table[name].combine_chunks()
    return found if isinstance(found, pa.Array) else found.chunk(0)


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    """Arrays of one column, each of the type that its own values have, as one array of the type that all of them have."""
    types = {p.type for p in parts} - {pa.null()}
    if len(types) <= 1:
        whole = pa.concat_arrays([p.cast(*types) if types else p for p in parts])
        if whole.null_count == len(whole):
            return pa.nulls(len(whole))
        if pa.large_string() not in types:
            return whole
        kinds = {type(json.loads(text)) for text in whole.unique().to_pylist() if text is not None}
        if len(kinds) > 1 or not kinds <= _SCALARS.keys():
            return whole
    return _column([value for p in parts for value in values(p)])


def values(array: pa.Array) -> list[Any]:
    """A column of run.json as it was written; equal texts of JSON become one object."""
    found = array.to_pylist()
    if array.type != pa.large_string():
        return found  # type: ignore[no-any-return]
    parsed = {text: json.loads(text) for text in set(found) if text is not None}
    return [None if text is None else parsed[text] for text in found]


# --- as pandas -------------------------------------------------------------------------------------------------------


def metric_names(index: Index, shown: Collection[str] | None = None) -> list[str]:
    """Names of the metrics of all runs, or of those with these ids; each once, as the runs have them."""
    texts = index.runs["metrics"]
    if shown is not None:
        texts = texts.filter(pc.is_in(index.runs["run_id"], pa.array(sorted(shown), pa.string())))
    return _union(json.loads(text) for text in texts.unique().to_pylist())


def own_metrics(index: Index, run_ids: pd.Series) -> list[list[str]]:
    """Names of the metrics of each of these runs."""
    known = {text: json.loads(text) for text in index.runs["metrics"].unique().to_pylist()}
    texts = dict(zip(index.runs["run_id"].to_pylist(), index.runs["metrics"].to_pylist(), strict=True))
    return [known[texts[run_id]] for run_id in run_ids]


def nested_names(index: Index) -> list[str]:
    """Columns of run.json that hold lists or mappings, or values of several types with such among them."""
    texts = [f.name for f in index.runs.schema if f.name.startswith("c:") and f.type == pa.large_string()]
    return [name[2:] for name in texts if _is_nested(index.runs[name])]


def _is_nested(column: pa.ChunkedArray) -> bool:
    return any(isinstance(json.loads(t), (dict, list)) for t in column.unique().to_pylist() if t is not None)


def frame(index: Index, only: Collection[str] | None = None) -> pd.DataFrame:
    """A row a run: `run_id`, the columns of run.json, `status`, `reason`, `config`, `metrics_version`, a column a metric.

    Types are those that pandas gives to such values: of integers with missing ones float64. Nested values are JSON texts.

    Args:
        only: the columns of run.json and metrics that are wanted, for whoever looks at few of them; None is all.
    """
    if only is not None:
        extra = {f"{kind}:{name}" for kind in "cm" for name in only}
        index = Index(
            index.runs.select([n for n in index.runs.column_names if ":" not in n or n in extra]), index.lists
        )
    runs, nested = index.runs, nested_names(index)
    lost = pc.and_(pc.equal(runs["status"], "damaged"), pc.equal(runs["keys"], "[]"))
    names = [name for name in runs.column_names if name.startswith("c:")]
    columns: dict[str, Any] = {"run_id": runs["run_id"].to_pandas()}
    for name in names:
        column = runs[name]
        if pc.any(lost).as_py() and (nothing := _NOTHING.get(str(column.type))) is not None:
            column = pc.if_else(lost, pa.scalar(nothing, column.type), column)
        if column.type == pa.large_string() and name[2:] not in nested:
            columns[name[2:]] = pd.Series(values(column))
        else:
            columns[name[2:]] = column.to_pandas()
    columns |= {name: runs[name].to_pandas() for name in ("status", "reason", "config")}
    columns["metrics_version"] = runs["metrics_version"].to_pandas().astype("Int64")
    metrics = metric_names(index) if only is None else [n for n in metric_names(index) if n in only]
    columns |= {name: runs[f"m:{name}"].to_pandas() for name in metrics}
    return pd.DataFrame(columns)


_NOTHING = {
    "string": "",
    "int64": 0,
    "bool": False,
}  # of a run whose record cannot be read, so that the others keep their types
