"""A manifest and a protocol -> which rows train, which validate, which test. Decided from the manifest alone, before a video is opened."""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bench.contracts import BenchError
from bench.manifest import UNKNOWN_GROUP, Manifest

VERSION = 1
VAL_PER_CLASS = 4  # rule 2: min(K, 4) validation videos a class
FOLDS = 5  # for data sets without a published split
MOST = "the most shots it allows is"
MAX_GROUP_CHOICES = 2000  # sets of validation groups that are tried before validation may share groups with training


@dataclass(frozen=True)
class Views:
    """Row positions of the manifest, ascending.

    `selection` says in words what was validated on, for the tables. `num_pool` is how many rows the split's training side
    has, drawn or not. `base` are the numbers of the classes that are learnt, ascending; () is all of them.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    selection: str
    num_pool: int = 0
    base: tuple[int, ...] = ()


def views(manifest: Manifest, protocol: str, split: str, seed: int, shots: int | None = None) -> Views:
    """The views of one run.

    Args:
        protocol: "zero_shot" (no training), "few_shot" (`shots` videos a class), "base_to_novel" (`shots` videos of each base
            class; see `base_classes`) or "cross_subject" (all training groups).
        split: the name of a published split, or of one of the FOLDS grouped folds where the data set publishes none.
        seed: draws shots and validation videos.

    Raises:
        BenchError: an unknown split; more shots than the data holds beside its validation videos; too few classes to be
            parted in base and novel ones, or a part without test videos. Where a limit on the videos is why, it says so.
    """
    try:
        return _views(manifest, protocol, split, seed, shots)
    except BenchError as error:
        if manifest.whole is not None and _allows(manifest.whole, protocol, split, seed, shots):
            raise BenchError(
                f"{error}. --limit is why: the whole data set has enough; raise it, or leave it out (LIMIT= of make bench)"
            ) from error
        raise


def _allows(manifest: Manifest, protocol: str, split: str, seed: int, shots: int | None) -> bool:
    """Whether there are such views of a manifest."""
    try:
        _views(manifest, protocol, split, seed, shots)
    except BenchError:
        return False
    return True


@functools.lru_cache(maxsize=64)
def _views(manifest: Manifest, protocol: str, split: str, seed: int, shots: int | None) -> Views:
    whole, test = _sides(manifest, split)
    if protocol == "zero_shot":
        return Views((), (), tuple(test), "none needed", len(whole))
    rng = np.random.default_rng([seed, 0x5EED])
    labels, groups = manifest.rows["label"].to_numpy(), manifest.rows["group"].to_numpy()
    published_val = _published(manifest, split, "val")
    pool, names, base = whole, manifest.class_names, tuple[int, ...]()
    if protocol == "base_to_novel":
        base = base_classes(manifest, split)
        names = tuple(manifest.class_names[i] for i in base)
        pool, published_val = ([i for i in rows if labels[i] in names] for rows in (whole, published_val))
        if len({labels[i] in names for i in test}) < 2:
            raise BenchError(
                f"{manifest.dataset}: all test videos of split {split} are of base classes or all of novel ones"
            )
    if protocol in ("few_shot", "base_to_novel"):
        assert shots is not None
        train, val, note = _few_shot(manifest, names, pool, published_val, labels, groups, shots, rng)
    elif protocol == "cross_subject":
        train, val, note = _whole(manifest, pool, published_val, labels, groups, rng)
    else:
        raise BenchError(f"unknown protocol {protocol!r}")
    _check(manifest, train, val, test)
    return Views(tuple(sorted(train)), tuple(sorted(val)), tuple(test), note, len(whole), base)


def base_classes(manifest: Manifest, split: str) -> tuple[int, ...]:
    """Numbers of the classes that base-to-novel learns: the more frequent half on the training side, ascending.

    Of an odd number of classes the larger half; of classes that are equally frequent those that come first. That is how
    ViFi-CLIP (Rasheed et al., 2023) parts classes; its lists of UCF101 agree in 50 of 51 base classes, one being a tie.

    Raises:
        BenchError: fewer than 4 classes.
    """
    num = len(manifest.class_names)
    if num < 4:
        raise BenchError(
            f"{manifest.dataset} has {num} classes; base-to-novel needs 4 or more, two of each kind to be told apart"
        )
    pool, _ = _sides(manifest, split)
    counts = manifest.rows["label"].iloc[pool].value_counts().reindex(list(manifest.class_names), fill_value=0)
    order = np.argsort(-counts.to_numpy(), kind="stable")
    return tuple(sorted(order[: -(-num // 2)].tolist()))


def _sides(manifest: Manifest, split: str) -> tuple[list[int], list[int]]:
    """Training pool and test rows of a split."""
    if manifest.splits:
        if split not in manifest.splits:
            raise BenchError(f"{manifest.dataset} has no split {split!r}; it has {', '.join(manifest.splits)}")
        return _published(manifest, split, "train"), _published(manifest, split, "test")
    names = [str(i + 1) for i in range(FOLDS)]
    if split not in names:
        raise BenchError(
            f"{manifest.dataset} publishes no split, so there are the folds {', '.join(names)}, and no {split!r}"
        )
    groups = manifest.rows["group"]
    known = np.flatnonzero(groups.to_numpy() != UNKNOWN_GROUP)
    if groups.iloc[known].nunique() < FOLDS:
        raise BenchError(
            f"{manifest.dataset} has {groups.iloc[known].nunique()} groups, too few for {FOLDS} folds; add a split column"
        )
    from sklearn.model_selection import StratifiedGroupKFold  # seconds to import, and most data sets publish a split

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    labels = manifest.rows["label"].iloc[known]
    if labels.value_counts().max() < FOLDS:
        raise BenchError(
            f"{manifest.dataset} has fewer than {FOLDS} videos in every class, too few for {FOLDS} folds; add a split column"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer videos than folds is missing from some tests
        parts = list(folds.split(known, labels, groups.iloc[known]))
    test = sorted(known[parts[int(split) - 1][1]].tolist())
    return sorted(set(range(len(groups))) - set(test)), test


def _published(manifest: Manifest, split: str, role: str) -> list[int]:
    column = f"split:{split}"
    return np.flatnonzero(manifest.rows[column] == role).tolist() if column in manifest.rows else []


def _few_shot(
    manifest: Manifest,
    names: Sequence[str],
    pool: list[int],
    published_val: list[int],
    labels: np.ndarray,
    groups: np.ndarray,
    shots: int,
    rng: np.random.Generator,
) -> tuple[list[int], list[int], str]:
    """Training and validation rows with `shots` of each of the classes `names`, drawn from `pool`, and what was validated on."""
    wanted = min(shots, VAL_PER_CLASS)
    if published_val:
        _enough(manifest, names, pool, labels, shots, 0, "training", MOST)
        _enough(manifest, names, published_val, labels, wanted, 0, "the published validation part")
        return _draw(pool, labels, shots, rng), _draw(published_val, labels, wanted, rng), "published validation part"
    _enough(manifest, names, pool, labels, shots, wanted, "training", MOST)
    for val_groups in _group_choices(pool, groups, rng):
        held = np.isin(groups[pool], list(val_groups))
        val_pool, train_pool = np.asarray(pool)[held], np.asarray(pool)[~held]
        if _holds(val_pool, labels, names, wanted) and _holds(train_pool, labels, names, shots):
            train = _draw(train_pool.tolist(), labels, shots, rng)
            return train, _draw(val_pool.tolist(), labels, wanted, rng), "validation on other groups"
    val = _draw(_known(pool, groups), labels, wanted, rng)
    train = _draw(sorted(set(pool) - set(val)), labels, shots, rng)
    return train, val, _note(train, val, groups)


def _whole(
    manifest: Manifest,
    pool: list[int],
    published_val: list[int],
    labels: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
) -> tuple[list[int], list[int], str]:
    if published_val:
        return pool, published_val, "published validation part"
    names = manifest.class_names
    _enough(manifest, names, pool, labels, 1, VAL_PER_CLASS, "training")
    for val_groups in _group_choices(pool, groups, rng):
        held = np.isin(groups[pool], list(val_groups))
        val_pool, train = np.asarray(pool)[held], np.asarray(pool)[~held]
        if _holds(val_pool, labels, names, VAL_PER_CLASS) and _holds(train, labels, names, 1):
            return train.tolist(), _draw(val_pool.tolist(), labels, VAL_PER_CLASS, rng), "validation on other groups"
    val = _draw(_known(pool, groups), labels, VAL_PER_CLASS, rng)
    rest = sorted(set(pool) - set(val))
    return rest, val, _note(rest, val, groups)


def _note(train: Sequence[int], val: Sequence[int], groups: np.ndarray) -> str:
    shared = set(groups[list(train)]) & set(groups[list(val)])
    return "validation shares groups with training" if shared else "validation on other groups"


def _group_choices(pool: Sequence[int], groups: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """Sets of validation groups, few groups first, in an order drawn by the seed; unknown groups never validate."""
    names = sorted({g for g in groups[list(pool)] if g != UNKNOWN_GROUP})
    shuffled = [names[i] for i in rng.permutation(len(names))]
    if len(shuffled) > 16:  # too many subsets to enumerate: ever longer beginnings of the drawn order
        size = 1
        while size < len(shuffled):
            yield tuple(shuffled[:size])
            size = max(size + 1, size * 5 // 4)
        return
    tried = 0
    for size in range(1, len(shuffled)):
        for chosen in combinations(shuffled, size):
            tried += 1
            if tried > MAX_GROUP_CHOICES:
                return
            yield chosen


def _known(pool: Sequence[int], groups: np.ndarray) -> list[int]:
    return [p for p in pool if groups[p] != UNKNOWN_GROUP]


def _draw(pool: Sequence[int], labels: np.ndarray, per_class: int, rng: np.random.Generator) -> list[int]:
    rows = np.asarray(pool)
    chosen: list[int] = []
    for label in sorted(set(labels[rows])):
        of_class = rows[labels[rows] == label]
        chosen.extend(rng.permutation(of_class)[:per_class].tolist())
    return chosen


def _holds(pool: np.ndarray, labels: np.ndarray, names: Sequence[str], per_class: int) -> bool:
    counts = Counter(labels[pool].tolist())  # thousands of sets of groups may be tried
    return all(counts[c] >= per_class for c in names)


def _enough(
    manifest: Manifest,
    names: Sequence[str],
    pool: Sequence[int],
    labels: np.ndarray,
    wanted: int,
    val: int,
    part: str,
    most: str = "",
) -> None:
    """Each class has `wanted` videos in the pool, and beside them `val` of known groups; else an error that names it. `most` is added."""
    known = np.asarray(pool)[manifest.rows["group"].to_numpy()[list(pool)] != UNKNOWN_GROUP]
    every, may_validate = (
        pd.Series(labels[list(p)]).value_counts().reindex(list(names), fill_value=0) for p in (pool, known)
    )
    short = every - wanted - val
    least = str((short.clip(upper=may_validate - val) if val else short).idxmin())
    if every[least] < wanted + val or may_validate[least] < val:
        asked = f"{wanted} training and {val} validation videos" if val else f"{wanted} videos"
        unknown = every[least] - may_validate[least]
        raise BenchError(
            f"{manifest.dataset}: {asked} a class are asked for, but {least!r} has only {every[least]} in {part}"
            + (f", {unknown} of them of an unknown group, which never validate" if unknown and val else "")
            + (most and f"; {most} {_most_shots(int(every[least]), int(may_validate[least]) if val else None)}")
        )


def _most_shots(available: int, may_validate: int | None) -> int:
    """How many shots a class allows beside its validation videos; `may_validate` None where those are published apart."""
    if may_validate is None:
        return available
    fits = (k for k in range(1, available + 1) if (v := min(k, VAL_PER_CLASS)) <= may_validate and k + v <= available)
    return max(fits, default=0)


def _check(manifest: Manifest, train: Sequence[int], val: Sequence[int], test: Sequence[int]) -> None:
    if set(train) & set(val) or (set(train) | set(val)) & set(test):
        raise AssertionError("views overlap")
    groups = manifest.rows["group"].to_numpy()
    shared = ({*groups[list(train)], *groups[list(val)]} - {UNKNOWN_GROUP}) & set(groups[list(test)])
    assert not shared, f"groups on both sides: {shared}"
