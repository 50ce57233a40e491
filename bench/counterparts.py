"""What of ours a published number is of, by rules over its row: method, backbone and weights, protocol, splits; or why nothing is.

Nothing is loaded here, and no weights need to be at hand.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench import plugins, recognizers
from bench.compat import mmaction2
from bench.published import Published, load, loose
from bench.specs import WITH_SHOTS, Pairs

TEMPLATES: Pairs = (("text", "templates"),)  # the data set's own, averaged
NAMES: Pairs = (
    ("text", "class_names"),
)  # X-CLIP is trained and tested with the bare name (VideoX, X-CLIP/utils/tools.py)
DERIVED = "avg(top1,top5)"  # the mean of two metrics of ours
ONE_FRAME = ("image_protocol_zero_shot", "image_protocol_cross_dataset_from_ImageNet")
# How sources write a backbone -> open_clip's architecture; {0}, {1}, ... are the groups, in an architecture that is not told any patch.
ARCHITECTURES = (
    (r"EVA-CLIP-(g)\b.*", r"EVA01-{0}-14"),
    (r"EVA-CLIP-([LE])\b.*", r"EVA02-{0}-14"),
    (r"PE-Core ([TSBL])/(\d+)-(\d+)", r"PE-Core-{0}-{1}(-{2})?"),
    (r"PE-Core G/(\d+)-(\d+)", r"PE-Core-bigG-{0}-{1}"),
    (r"(?:Open)?(?:OpenAI )?CLIP ViT-(\w)/(\d+)(?: \(.*\))?", r"ViT-{0}-{1}"),
    (r"(?:Open)?(?:OpenAI )?CLIP ViT-(\w)/(\d+)@(\d+)", r"ViT-{0}-{1}-{2}"),
    (r"(?:Open)?(?:OpenAI )?CLIP ViT-(\w)(?: \(.*\))?", r"ViT-{0}-\d+"),
    (r"CLIP (RN\d+)", r"{0}"),
)
# What sources say that it was trained on -> how open_clip's tag begins.
TAGS = (
    (r"WIT-400M|OpenAI", "openai"),
    (r"LAION-2B", "laion2b_"),
    (r"LAION-400M", "laion400m_"),
    (r"DataComp-1B", "datacomp_xl_s"),
    (r"Merged-2B", "merged2b_"),
    (r"\bPE-Core\b", "meta"),
)
# Data sets whose label map in MMAction2 is the names in alphabetical order.
ALPHABETICAL = ("kinetics400", "kinetics600", "kinetics700", "ssv2")


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """What would be run: once for each of `splits` or else of `draws` (of classes), and of `seeds`.

    `backbones` are those whose weights fit what the source tells, one of which is meant; none where no adapter has a name for them.
    `weights` says in words which these are. Of a recogniser of MMAction2 `checkpoint` is where its index says that its weights are, ""
    where it does not, and `own_classes` whether a list of its classes is needed. `frames` None is the backbone's own number.
    """

    method: str
    backbones: tuple[str, ...]
    weights: str
    config: Pairs = ()
    protocol: str = "zero_shot"
    shots: int | None = None
    splits: tuple[str, ...] = ("1",)
    draws: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1,)
    frames: int | None = None
    checkpoint: str | None = None
    own_classes: bool = False


@dataclass(frozen=True)
class Nothing:
    """Why nothing of ours is what a number is of: the kind of reason, under which such rows are counted, and what is meant here."""

    kind: str
    why: str


def of(row: Published) -> Counterpart | Nothing:
    """The run that would measure a published number, or why there is none."""
    if row.our_metric is None and row.metric != DERIVED:
        return Nothing("a metric that is not measured here", f"its metric is {row.metric}")
    if row.reported_by == "mmaction2":
        return _recognizer(row)
    if row.method == "X-CLIP":
        return _xclip(row)
    protocol = "zero_shot" if row.protocol in ONE_FRAME else row.our_protocol
    named = loose(row.method.removesuffix(" (mean)"))  # over frames, as ours
    frozen = row.is_frozen or (row.method == "CLIP" and row.protocol in ONE_FRAME)
    learnt = next((name for name in plugins.names("methods") if loose(name) == named), None)
    if not frozen and learnt is None:
        first = row.protocol.startswith("zero_shot_from") or " + " in row.pretraining
        kind = "no such method here" + (", and trained on videos of another data set first" if first else "")
        return Nothing(kind, f"the method {row.method} is none of ours")
    if protocol is None:
        return _other_protocol(row)
    if row.over and row.our_splits is None and not row.draws:
        return Nothing("a choice of test videos that is none of our splits", f"it is over {row.over}")
    backbones = _open_clip(row)
    if isinstance(backbones, Nothing):
        return backbones
    return Counterpart(
        method="zero_shot" if frozen or learnt is None else learnt,
        backbones=backbones,
        weights=row.backbone,
        config=TEMPLATES if frozen else (),
        protocol=protocol,
        shots=row.shots if protocol in WITH_SHOTS else None,
        splits=tuple(sorted(row.our_splits or {"1"})),
        draws=tuple(sorted(row.draws)),
        seeds=(1,) if frozen else (1, 2, 3),
        frames=int(row.frames) if row.frames.isdigit() else None,
    )


def _other_protocol(row: Published) -> Nothing:
    if row.protocol.startswith("zero_shot_from"):
        return Nothing("trained on videos of another data set first", f"its protocol is {row.protocol}")
    if row.protocol == "zero_shot_LVLM":
        return Nothing(
            "a chat model, which gives answers and no features",
            "ask it elsewhere, and python -m bench import-predictions takes its answers",
        )
    return Nothing("a protocol that is none of ours", f"its protocol is {row.protocol}")


def _open_clip(row: Published) -> tuple[str, ...] | Nothing:
    """Names of the models of open_clip that a row's backbone may be: our short ones where there are such, then any other."""
    written = ((re.fullmatch(pattern, row.backbone), ours) for pattern, ours in ARCHITECTURES)
    wanted = next((ours.format(*found.groups()) for found, ours in written if found), None)
    if wanted is None:
        if re.search(r"as printed|not printed|see repo|^$", row.backbone):
            return Nothing("the backbone or its weights are not told", f"its backbone is {row.backbone or 'not told'}")
        return Nothing("no adapter for the backbone", f"{row.backbone} is no model of open_clip")
    told = f"{row.pretraining} {row.backbone}"
    tag = next((begins for pattern, begins in TAGS if re.search(pattern, told)), None)
    if tag is None or " + " in row.pretraining:
        return Nothing(
            "the backbone or its weights are not told", f"it was trained on {row.pretraining or 'what is not told'}"
        )
    fits = re.compile(rf"{wanted}/{tag}.*")
    short = {what: name for name, what in _cards().items() if fits.fullmatch(what)}
    # The names of all models of open_clip take seconds: only where none with a short name of ours fits.
    known = short or {f"{arch}/{tag}": f"open_clip:{arch}/{tag}" for arch, tag in _pretrained()}
    found = tuple(name for what, name in sorted(known.items()) if fits.fullmatch(what))
    return found or Nothing("no adapter for the backbone", f"{row.backbone} is no model of open_clip")


@functools.cache
def _cards() -> dict[str, str]:
    """Our short names of models -> ARCHITECTURE/TAG, of transformers the repository's name."""
    found = {}
    for name in plugins.names("adapters"):
        card = plugins.find("adapters", name).MODELS[name]
        if not isinstance(card, str):
            found[name] = f"{card.architecture}/{card.tag}" if card.library == "open_clip" else card.tag
    return found


@functools.cache
def _pretrained() -> tuple[tuple[str, str], ...]:
    import open_clip

    return tuple(open_clip.list_pretrained())


def _xclip(row: Published) -> Counterpart | Nothing:
    """The weights that X-CLIP's authors released for the number, which were trained for it: here they are only tested."""
    found = re.fullmatch(r"CLIP ViT-(B|L)/(\d+)(@336)?", row.backbone)
    data = row.dataset_key.removesuffix("51").removesuffix("101")
    if row.protocol == "fully_supervised" and row.dataset_key in ("kinetics400", "kinetics600"):
        released = "" if row.dataset_key == "kinetics400" else "-kinetics-600"
        released += "-16-frames" if row.frames == "16" else ""
    elif row.protocol == "zero_shot_from_K400":
        released = "-zero-shot"
    elif row.protocol == "few_shot_all_way" and data in ("hmdb", "ucf"):
        released = f"-{data}-{row.shots}-shot"
    else:
        return Nothing(
            "no released weights are known here", f"of X-CLIP there are none for {row.protocol} on {row.dataset}"
        )
    if found is None:
        return Nothing("no released weights are known here", f"of X-CLIP there are none of {row.backbone}")
    repository = f"microsoft/xclip-{'base' if found[1] == 'B' else 'large'}-patch{found[2]}{released}"
    return Counterpart(
        method="zero_shot",
        backbones=tuple(name for name, what in _cards().items() if what == repository),
        weights=repository,
        config=NAMES,
        splits=tuple(sorted(row.our_splits or {"1"})),
        draws=tuple(sorted(row.draws)),
    )


def _recognizer(row: Published) -> Counterpart | Nothing:
    """The config and the weights of MMAction2's zoo that a row of its READMEs is of: its own classes, all its test views."""
    if "configs/skeleton/" in row.source:
        return Nothing("it looks at skeletons", "recognisers here look at frames")
    configs = _configs(row) if "configs/recognition/" in row.source else ()
    if len(configs) != 1:
        words = (
            f"{len(configs)} configs of its wheel fit: {', '.join(configs)}" if configs else "none of its wheel fits"
        )
        return Nothing("no one config of MMAction2's wheel prints it", words)
    (config,) = configs
    if why := _why_not_built(config):
        return Nothing("a recogniser that cannot be built here", f"{config} {why}")
    listed = recognizers.checkpoints(config)
    checkpoint = max(listed, key=lambda c: _prints(c, _line(row)), default=None)
    address = checkpoint.address if checkpoint else ""
    alphabetical = row.dataset_key in ALPHABETICAL
    return Counterpart(
        method="mmaction2_as_is",
        backbones=(f"mmaction2:{config}",),
        weights=address.rpartition("/")[2] or f"a checkpoint of {config}",
        config=(("label_map", "identity"),) if alphabetical else (),
        checkpoint=address,
        own_classes=not alphabetical,
    )


def _configs(row: Published) -> Sequence[str]:
    """The recognisers of the family and data set that print most numbers of the row's line; of several those with its frames and words."""
    family = row.method.rpartition(" ")[2]
    data = row.dataset_key.replace("ssv", "sthv")
    every = recognizers.names()
    found = [
        n for n in every if recognizers.family(n) == family and data in loose(n.split("_")[-1]) and "flow" not in n
    ]
    prints = {n: max((_prints(c, _line(row)) for c in recognizers.checkpoints(n)), default=0) for n in found}
    found = [n for n in found if prints[n] == max(prints.values())]
    spread = re.search(r"\d+x\d+x\d+", row.frames)
    layers = re.search(r"ResNet(\d+)", row.backbone)
    for pattern, wanted in (
        (spread[0] if spread else f"u{row.frames.removeprefix('uniform ')}", True),
        ("dense", "dense" in row.frames),
        ("imagenet|in1k|in22k", "imagenet" in row.pretraining.casefold()),
        (rf"r{layers[1]}(?!\d)" if layers else "", True),
        ("-nl-", "NonLocal" in row.backbone),
        (re.escape(row.backbone.casefold()), True),
    ):
        found = [n for n in found if bool(re.search(pattern, n)) == wanted] or found
    return found


@functools.cache
def _why_not_built(name: str) -> str:
    """What keeps a recogniser from being built here, in words; "" where nothing does."""
    config = mmaction2.read_config(recognizers.path_of(name))
    backbone = config["model"]["backbone"]
    kind = backbone["type"]
    if kind.startswith("timm.swin") and backbone.get("feature_shape") != "NHWC":
        return f"was written for an older timm: of {kind} the head gets rows of the picture for channels"
    if re.search(r"^mmpretrain\.|^mmcls\.|TIN", kind):
        return f"needs more than MMAction2 ({kind})"
    return "" if recognizers.views(config)["clips"] else "has no test pipeline"


@functools.cache
def _line(row: Published) -> frozenset[tuple[str | None, float]]:
    """(metric, value) of the numbers that stand in one line of the source with a row's: they follow each other, top-1 first."""
    rows = load()
    key = dataclasses.replace(row, metric="", value=0, std=None)

    def belongs(place: int) -> bool:
        return 0 <= place < len(rows) and dataclasses.replace(rows[place], metric="", value=0, std=None) == key

    first = last = rows.index(row)
    while rows[first].metric != "top1" and belongs(first - 1):
        first -= 1
    while belongs(last + 1) and rows[last + 1].metric != "top1":
        last += 1
    return frozenset((r.our_metric, r.value) for r in rows[first : last + 1])


def _prints(checkpoint: recognizers.Checkpoint, line: frozenset[tuple[str | None, float]]) -> int:
    """How many numbers of a line the index prints for a checkpoint."""
    told = {(name, value) for r in checkpoint.reported for name, value in (("top1", r.top1), ("top5", r.top5))}
    return len(told & line)
