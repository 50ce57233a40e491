"""A published number measured here: the spec that matches it, run, and held against what is reported. They need not agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench import plugins
from bench.contracts import BenchError
from bench.planning import Progress, silent
from bench.protocols import FOLDS
from bench.published import Published, line
from bench.specs import FrameSpec, RunSpec

TOLERANCE = 1.0  # points; frames and decoders alone move top-1 by some tenths
BACKBONES = {
    "CLIP ViT-B/32": "clip-vit-b-32",
    "CLIP ViT-B/16": "clip-vit-b-16",
    "CLIP ViT-L/14": "clip-vit-l-14",
    "CLIP ViT-L/14@336": "clip-vit-l-14-336",
}
METHODS = {"CLIP (frozen zero-shot)": "zero_shot", "CLIP (frozen)": "zero_shot"}
SCORES = {"top1": "top1", "top5": "top5"}
TEXT = "templates"  # the data set's own, averaged


@dataclass(frozen=True)
class Comparison:
    """`measured` and the reported number in percent, the runs behind it, what is known to differ: what -> (reported, here)."""

    row: Published
    measured: float
    run_ids: tuple[str, ...]
    differences: Mapping[str, tuple[str, str]]

    @property
    def apart(self) -> float:
        """Measured minus reported, in points."""
        return self.measured - self.row.value


def specs(row: Published, root: str | None, options: tuple[tuple[str, str], ...] = ()) -> list[RunSpec]:
    """A spec a split that the number is a mean over; one on split 1 where the source does not tell.

    Raises:
        BenchError: there is no spec of ours for it (it says which part is missing), weights that are missing, or no `root`.
    """
    lacking = [
        f"{what} {told!r}"
        for what, told, known in (
            ("method", row.method, row.method in METHODS),
            ("backbone", row.backbone, row.backbone in BACKBONES),
            ("protocol", row.protocol, row.our_protocol == "zero_shot"),
            ("metric", row.metric, row.metric in SCORES),
            ("split", row.split, row.split == "" or row.our_splits is not None),
        )
        if not known
    ]
    if lacking:
        raise BenchError(
            f"{row.name} has no matching spec here: nothing of ours is its {', '.join(lacking)}; "
            f"methods that have one: {', '.join(METHODS)}, zero-shot on {', '.join(BACKBONES)}"
        )
    backbone = BACKBONES[row.backbone]
    family = plugins.find("adapters", backbone)
    if hasattr(family, "at_hand"):
        family.at_hand(backbone)  # says what to fetch, and where it is put
    if root is None:
        raise BenchError(
            f"{row.name} is on {row.dataset}, which does not come with the project: download it from its authors and say where it lies "
            "with --root FOLDER (a directory a class, or --option csv=FILE with columns for path, label, group and split; of several "
            "splits --option split=COLUMN,COLUMN,COLUMN; see README)"
        )
    frames = FrameSpec(num_frames=int(row.frames) if row.frames.isdigit() else None)
    return [
        RunSpec(
            dataset="folder",
            backbone=backbone,
            method=METHODS[row.method],
            protocol="zero_shot",
            split=split,
            config=(("text", TEXT),),
            frames=frames,
            root=root,
            dataset_options=options,
        )
        for split in sorted(row.our_splits or {"1"})
    ]


def measure(
    row: Published,
    home: Path,
    root: str | None,
    options: tuple[tuple[str, str], ...] = (),
    progress: Progress = silent,
) -> Comparison:
    """Do the matching runs, unless they are done, and compare. Raises what `specs` and the runs raise."""
    asked = specs(row, root, options)
    from bench.planning import build_manifest, dataset_facts, resolve
    from bench.runner import run

    published = build_manifest(asked[0], home, progress).splits
    if row.our_splits and (lacking := sorted(row.our_splits - set(published))):
        raise BenchError(
            f"{row.name} is on the published split {', '.join(sorted(row.our_splits))}, and under {root} there is none called "
            f"{', '.join(lacking)}; list the videos in a csv with a column of train and test a split: "
            "--option csv=FILE --option split=COLUMN,COLUMN,COLUMN"
        )
    planned = [resolve(spec, home, progress) for spec in asked]
    metric = SCORES[row.metric]
    scores = [run(spec, home) for spec in asked]
    if any(metric not in found for found in scores):
        raise BenchError(
            f"{metric} is no metric of {len(scores)} runs here: {row.dataset} under {root} has too few classes"
        )
    first = planned[0]
    prompts = "; ".join(dataset_facts(first.spec.dataset).templates)
    here = {
        "frames": (row.frames, str(first.num_frames)),
        "views": (row.views, "1x1"),
        # Where the source tells its splits, these are the same.
        "split": (row.split, row.split or ("1" if published else f"fold 1 of {FOLDS}: no split lies under the root")),
        "template": ("", f"mean over {prompts}"),
        "precision": ("", first.spec.numerics),
        "weights": (row.pretraining, f"{first.backbone}, identity {first.adapter}"),
    }
    told = {what: (reported or "not told", mine) for what, (reported, mine) in here.items() if reported != mine}
    return Comparison(row, 100 * fmean(found[metric] for found in scores), tuple(r.run_id for r in planned), told)


def told(result: Comparison, tolerance: float) -> Iterator[str]:
    """The outcome in lines for people."""
    holds = abs(result.apart) <= tolerance
    yield line(result.row)
    yield f"reported {result.row.value:.2f}, measured {result.measured:.2f} ({', '.join(result.run_ids)})"
    yield (
        f"apart by {result.apart:+.2f} points: {'within' if holds else 'NOT within'} the tolerance of {tolerance:g} points"
    )
    yield "why they may differ (reported -> here):"
    for what, (reported, here) in result.differences.items():
        yield f"  {what}: {reported} -> {here}"
    yield (
        f"  note of the source: {result.row.note}"
        if result.row.note
        else "  test videos: the source's own -> those under --root"
    )
