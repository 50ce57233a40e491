"""What a file in `bench/datasets/` gives, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What is known of a data set before its files are seen.

    `shots` and `replicates` say which few-shot sizes and seeds a default sweep asks for; with `split_per_seed` the replicate
    r is seed r on published split r. `bank` names the knowledge bank. `options` maps each option it understands to a help text.
    `beware` is what every table of what is learnt on it must say, "" where nothing is known against its splits.
    """

    name: str
    summary: str
    licence: str
    needs_root: bool
    templates: tuple[str, ...]
    bank: str | None = None
    shots: tuple[int, ...] = (1, 4, 16)
    replicates: tuple[int, ...] = (1, 2, 3)
    split_per_seed: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    beware: str = ""
    version: int = 1


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """What a data set gets to build its manifest: the user's `root` (or None), a folder that it may write to, its options."""

    root: Path | None
    workspace: Path
    options: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[str, int, int], None] = lambda what, done, total: None
