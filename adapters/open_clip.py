"""Any model of open_clip by its name there, by a file of weights, or from a folder of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contracts import BenchError

if TYPE_CHECKING:
    from bench.contracts import Adapter

OPEN = (
    "open_clip:ARCH/TAG, a model of open_clip and its pretrained tag (open_clip:ViT-H-14/laion2b_s32b_b79k); open_clip:ARCH/TAG@FILE, "
    "your own weights of that architecture, prepared as the tag's; open_clip:FOLDER, open_clip_config.json and one file of weights"
)
MODELS: dict[str, str] = {}
VERSION = 1
CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class Source:
    """What an open name means: an architecture and a tag, with the user's own file or without; or a folder."""

    architecture: str = ""
    tag: str = ""
    file: Path | None = None
    folder: Path | None = None


def load(name: str, device: str) -> Adapter:
    """The frozen model that an open name means. Raises BenchError where it is unknown or its weights are not at hand."""
    from adapters import _open_clip_load as load  # seconds to import, so only for who loads a model
    from adapters import _weights

    source = parse(name)
    if source.folder is not None:
        return _from_folder(name, source.folder, device)
    path = _path(name, source)
    if source.file is None:
        load.check_published(path, source.architecture, source.tag)
    model_cfg, preprocess = load.model_config(source.architecture, source.tag)
    own = source.file is not None
    facts = {
        "name": _weights.safe(f"{source.architecture}--{path.stem if own else source.tag}"),
        "architecture": source.architecture,
        "weights": path.name if own else source.tag,
        "pretraining": f"the user's own weights, prepared as {source.tag}" if own else source.tag,
        "licence": "the user's own weights" if own else "as its publisher says",
    }
    return _adapt(name, model_cfg, preprocess, path, facts, device)


def fetch(name: str) -> str:
    """Get the files of open_clip:ARCH/TAG, on a machine with network; where its weights now lie."""
    from adapters import _fetch

    source = parse(name)
    if source.folder or source.file:
        raise BenchError(f"{name} lies on this machine; there is nothing to fetch")
    return str(_fetch.get(name, _fetch.open_clip_files(name, source.architecture, source.tag)))


def at_hand(name: str) -> str:
    """Where the weights behind an open name lie on this machine. Raises BenchError with what to do where they do not."""
    source = parse(name)
    return str(_weights_in(source.folder) if source.folder else _path(name, source))


def parse(name: str) -> Source:
    """An open name -> what is meant.

    Raises:
        BenchError: an architecture or tag that open_clip does not know (with the nearest), no such folder or file, weights
            without a tag.
    """
    import open_clip

    what, at, file = name.partition(":")[2].partition("@")
    path = Path(what).expanduser()
    if not at and path.is_dir():
        return Source(folder=path.resolve())
    if what.startswith((".", "/", "~")):
        raise BenchError(f"{name}: there is no folder {path}; write {OPEN}")
    architecture, slash, tag = what.partition("/")
    if architecture not in open_clip.list_models():
        raise _unknown("architecture", architecture, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tag:
        why = "a file of weights does not say how pictures are prepared and which activation is meant; " if at else ""
        raise BenchError(
            f"{name} names no pretrained tag: {why}write {what}/TAG{at}{file}, the tags of {architecture} are "
            f"{', '.join(tags) or 'none, so give a folder with ' + CONFIG}"
        )
    if not open_clip.is_pretrained_cfg(architecture, tag):
        raise _unknown(f"pretrained tag of {architecture}", tag, tags)
    if at and not Path(file).expanduser().is_file():
        raise BenchError(f"{name}: there is no file {file or 'behind the @'}")
    return Source(architecture, tag, Path(file).expanduser().resolve() if at else None)


def _from_folder(name: str, folder: Path, device: str) -> Adapter:
    from adapters import _weights

    model_cfg, preprocess = _read(folder / CONFIG)
    path = _weights_in(folder)
    facts = {
        "name": _weights.safe(folder.name),
        "architecture": "open_clip folder",
        "weights": path.name,
        "pretraining": "not stated",
        "licence": "not stated",
    }
    return _adapt(name, model_cfg, preprocess, path, facts, device, files=folder)


def _adapt(
    name: str,
    model_cfg: dict[str, Any],
    preprocess: dict[str, Any],
    path: Path,
    facts: dict[str, Any],
    device: str,
    files: Path | None = None,
) -> Adapter:
    from adapters import _open_clip_load as load

    (model, sha256), counted = load.loaded(name, model_cfg, path), load.visual_operations(model_cfg)
    facts |= {
        "family": load.family_of(model, model_cfg),
        "num_frames": 8,
        "version": VERSION,
        "gflops": counted.gflops,
        "gflops_source": counted.why_not,
        "precisions": ("float32", "bf16", "fp16"),
        "padding": load.text_rule(model_cfg),
    }
    return load.adapt(name, model, model_cfg, preprocess, sha256, facts, device, files)


def _path(name: str, source: Source) -> Path:
    from adapters import _weights

    return source.file or _weights.locate_file(name, f"open_clip's file of {source.architecture} / {source.tag}")


def _weights_in(folder: Path) -> Path:
    from adapters import _weights

    return _weights.the_one(
        folder,
        _weights.SUFFIXES,
        f"{folder} holds no weights ({', '.join('*' + s for s in _weights.SUFFIXES)}); put one there",
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """open_clip's config of a folder -> model config, preprocessing. Raises BenchError where it is none, or says what we do not do."""
    import json

    from adapters._open_clip_load import PREPROCESS

    if not path.is_file():
        raise BenchError(
            f"{path.parent} has no {CONFIG}, which says what model it is; open_clip's push_to_hf_hub writes it"
        )
    try:
        config = json.loads(path.read_text())
        model_cfg, preprocess = dict(config["model_cfg"]), dict(config.get("preprocess_cfg") or {})
        model_cfg["vision_cfg"], model_cfg["text_cfg"]
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path} is no config of open_clip ({type(error).__name__}: {error}); mend it") from error
    known = {"size": None, "mode": "RGB", "fill_color": 0}
    strange = {
        k: v for k, v in preprocess.items() if k not in PREPROCESS and (k not in known or known[k] not in (None, v))
    }
    if strange:
        raise BenchError(
            f"{path}: preprocess_cfg asks for {strange}, which is not done here; only {', '.join(PREPROCESS)} are"
        )
    return model_cfg, preprocess


def _unknown(what: str, name: str, known: list[str]) -> BenchError:
    import difflib

    near = difflib.get_close_matches(name, known, n=4, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known[:20])}"
    return BenchError(f"open_clip knows no {what} {name!r}; {hint}")
