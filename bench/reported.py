"""A published number measured here: the specs that match it, run, and held against what is reported. They need not agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench import counterparts, plugins, recognizers
from bench.contracts import BenchError
from bench.counterparts import Counterpart, Nothing
from bench.places import bench_home, data_root
from bench.planning import Progress, silent
from bench.protocols import FOLDS
from bench.published import Published, line, load
from bench.specs import FrameSpec, Pairs, RunSpec

TOLERANCE = 1.0  # points; frames and decoders alone move top-1 by some tenths


@dataclass(frozen=True, kw_only=True)
class Here:
    """What a number is to be measured with: the data set's folder and options, the method's settings, and the backbone if it is said."""

    root: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    config: Pairs = ()
    backbone: str | None = None


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


def specs(row: Published, here: Here) -> list[RunSpec]:
    """A spec a split, draw of classes or seed that the number is a mean over; one on split 1 where the source does not tell.

    Raises:
        BenchError: nothing of ours is what the number is of (it says why), or all that is missing on this machine, with where it goes.
    """
    found = counterparts.of(row)
    if isinstance(found, Nothing):
        raise BenchError(
            f"{row.name} cannot be measured here: {found.kind} ({found.why}); python -m bench reproduce --list shows what can"
        )
    missing = _data(row, found, here)
    backbone, lacking = _backbone(found, here)
    missing += lacking
    if found.own_classes and "own_classes" not in dict(here.config):
        missing.append(
            f"the names of the recogniser's classes in its order: MMAction2's label_map of {row.dataset}, --config own_classes=FILE"
        )
    if missing:
        where = "\n".join(f"  {text}" for text in missing)
        raise BenchError(f"{row.name} would be {told_of(found)}; missing here:\n{where}")
    lists = dict(here.options).get("csv", "").split(",")
    every = []
    for split in found.draws or found.splits:
        options = dict(here.options)
        if found.draws:  # each draw is a data set of its own in the tables: other classes and other videos
            options["csv"] = lists[found.draws.index(split)]
            options["name"] = f"{Path(str(here.root)).name}-{Path(options['csv']).stem}"
        every += [
            RunSpec(
                dataset="folder",
                backbone=backbone,
                method=found.method,
                protocol=found.protocol,
                shots=found.shots,
                split="1" if found.draws else split,
                seed=seed,
                config=tuple({**dict(found.config), **dict(here.config)}.items()),
                frames=FrameSpec(num_frames=found.frames),
                root=here.root,
                dataset_options=tuple(options.items()),
            )
            for seed in found.seeds
        ]
    return every


def _backbone(found: Counterpart, here: Here) -> tuple[str, list[str]]:
    """The backbone's name, and what is missing of it."""
    if here.backbone is None and not found.backbones:
        return "", [
            f"the weights: no adapter has a name for {found.weights}; get its folder, as save_pretrained leaves it, and say where it lies "
            "with --backbone transformers:FOLDER"
        ]
    if here.backbone is None and len(found.backbones) > 1:
        return "", [f"which weights of {found.weights} are meant: --backbone {' or '.join(found.backbones)}"]
    name = plugins.absolute(here.backbone or found.backbones[0])
    if found.checkpoint is not None and here.backbone is None:
        path = bench_home() / "weights" / "mmaction2" / found.weights
        if not (found.checkpoint and path.is_file()):
            where = (
                f"put {found.weights} at {path} (MMAction2's index has it at {found.checkpoint}), or "
                if found.checkpoint
                else ""
            )
            return "", [f"the checkpoint: {where}say where it lies with --backbone {name}@FILE"]
        name = f"{name}@{path}"
    family = plugins.find("adapters", name)
    try:
        if hasattr(family, "at_hand"):
            family.at_hand(name)  # says what to fetch, and where it is put
    except BenchError as error:
        return name, [f"the weights: {error}"]
    return name, []


def _data(row: Published, found: Counterpart, here: Here) -> list[str]:
    """What is missing of the data set."""
    missing = []
    if here.root is None:
        missing.append(
            f"the videos: {row.dataset} does not come with the project; download it from its authors and say where it lies with "
            "--root FOLDER (a directory a class, or --option csv=FILE with columns for path, label, group and split; of several "
            "splits --option split=COLUMN,COLUMN,COLUMN; see README)"
        )
    try:
        data_root(here.root)
    except BenchError as error:
        missing.append(f"the videos: {error}")
    lists = [name for name in dict(here.options).get("csv", "").split(",") if name]
    if found.draws and len(lists) != len(found.draws):
        missing.append(
            f"the draws of classes: {len(found.draws)} lists of videos inside the root, one a draw with the videos of its classes alone, "
            f"all of them test in a column of split: --option csv={','.join(f'DRAW{d}' for d in found.draws)} --option split=COLUMN"
        )
    return missing


def measure(row: Published, home: Path, here: Here, progress: Progress = silent) -> Comparison:
    """Do the matching runs, unless they are done, and compare. Raises what `specs` and the runs raise."""
    asked = specs(row, here)
    from bench.planning import build_manifest, resolve
    from bench.runner import run

    published = build_manifest(asked[0], home, progress).splits
    if lacking := sorted({spec.split for spec in asked} - set(published)) if row.over else []:
        raise BenchError(
            f"{row.name} is over {row.over}, and under {here.root} there is no published split called {', '.join(lacking)}; list the "
            "videos in a csv with a column of train and test a split: --option csv=FILE --option split=COLUMN,COLUMN,COLUMN"
        )
    planned = [resolve(spec, home, progress) for spec in asked]
    scores = [run(spec, home) for spec in asked]
    metrics = ("top1", "top5") if row.metric == counterparts.DERIVED else (str(row.our_metric),)
    for metric in metrics:
        if any(metric not in found for found in scores):
            raise BenchError(
                f"{metric} is no metric of {len(scores)} runs here: {row.dataset} under {here.root} has too few classes"
            )
    measured = fmean(found[metric] for found in scores for metric in metrics)
    first = planned[0]
    here_told = {
        "frames": first.num_frames,
        "views": "1x1",
        # Where the source tells its split, this is the same.
        "split": row.over or ("1" if published else f"fold 1 of {FOLDS}: no split lies under the root"),
        "weights": f"{first.backbone}, identity {first.adapter}",
        "precision": first.spec.numerics,
        **_shown(first.spec),
    }
    told = {"frames": row.frames, "views": row.views, "split": row.over, "weights": row.pretraining}
    differences = {
        what: (told.get(what) or "not told", str(mine))
        for what, mine in here_told.items()
        if told.get(what) != str(mine)
    }
    if "copy" in row.metric:
        differences["videos"] = ("MMAction2's copy of Kinetics", "those under --root")
    return Comparison(row, 100 * measured, tuple(r.run_id for r in planned), differences)


def _shown(spec: RunSpec) -> dict[str, str]:
    """What the method shows of a video or says of a class."""
    from bench.planning import dataset_facts

    if spec.backbone.startswith("mmaction2:"):
        known = recognizers.find(spec.backbone.partition(":")[2].partition("@")[0])
        every = f"x{known.interval}" if known.interval else ""
        return {"frames": f"{known.frames}{every}", "views": f"{known.clips} clips x {known.crops} crop"}
    if dict(spec.config).get("text") == "class_names":
        return {"template": "the bare class name"}
    return {"template": f"mean over {'; '.join(dataset_facts(spec.dataset).templates)}"} if spec.config else {}


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


def told_of(found: Counterpart) -> str:
    """What would be run, in words."""
    protocol = found.protocol + (f", K = {found.shots}" if found.shots else "")
    over = f"{len(found.draws)} draws of classes" if found.draws else f"split {', '.join(found.splits)}"
    frames = f", {found.frames} frame{'s' * (found.frames > 1)}" if found.frames else ""
    name = " or ".join(found.backbones) or found.weights
    return f"{found.method} on {name} ({protocol}, {over}{frames})"


def listed() -> Iterator[str]:
    """Which published numbers can be measured here, and of the others how many cannot for which kind of reason; in lines for people."""
    can: list[str] = []
    cannot: dict[str, list[str]] = {}
    for row in load():
        found = counterparts.of(row)
        if isinstance(found, Nothing):
            cannot.setdefault(found.kind, []).append(row.name)
        else:
            needs = f", of {found.weights}" if not found.backbones or found.checkpoint else ""
            needs += ", --config own_classes=FILE" if found.own_classes else ""
            can.append(f"{line(row)}\n    {told_of(found)}{needs}")
    total = len(load())
    yield f"{len(can)} of {total:,} published numbers can be measured here, given weights and videos (reproduce NAME says what is missing):"
    yield from can
    yield f"{total - len(can):,} cannot:"
    for kind, names in sorted(cannot.items(), key=lambda item: -len(item[1])):
        yield f"  {len(names):>5,}  {kind}, such as {_few(names)}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys((names[0], names[len(names) // 2], names[-1])))
