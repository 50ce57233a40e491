"""Image encoders of timm: names, weights, the library's own evaluation transform, one embedding a frame.

Shape legend: N videos, T frames, D embedding size.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import timm
import torch
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from timm.models import PretrainedCfg
from torch import Tensor, nn

from adapters import _weights
from adapters._state import State, load_strict
from adapters._text import NoText
from bench import cost
from bench.contracts import BackboneFacts, BenchError, Features, digest

if TYPE_CHECKING:
    import numpy as np

NUM_FRAMES = 8
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # what timm calls the weights in its repositories, best first


@dataclass(frozen=True)
class Source:
    """What an open name means: `model` is timm's MODEL or MODEL.TAG in full, `file` the user's own weights or None."""

    model: str
    cfg: PretrainedCfg
    file: Path | None

    @property
    def name(self) -> str:
        """The backbone's name in tables and folders."""
        return self.model if self.file is None else _weights.safe(f"{self.model}--{self.file.stem}")

    @property
    def lock_name(self) -> str:
        """What its weights are locked under: two files of one base name are two models."""
        return self.name if self.file is None else f"timm:{self.model}@{self.file}"


def parse(name: str) -> Source:
    """`timm:MODEL[.TAG][@FILE]` -> what is meant; a model without a tag gets timm's default one.

    Raises:
        BenchError: a model or tag that this timm does not know (with the nearest), one that is not for colour images.
    """
    what, at, file = name.partition(":")[2].partition("@")
    arch, _, tag = what.partition(".")
    if not timm.is_model(arch):
        _unknown(f"model {arch!r}", arch, timm.list_models(), "import timm; print(*timm.list_models())")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{arch}.*")]
    if tag and tag not in tags:
        _unknown(f"weights {tag!r} of {arch}", tag, tags, f"import timm; print(*timm.list_pretrained('{arch}.*'))")
    cfg = timm.get_pretrained_cfg(what) or PretrainedCfg(architecture=arch)
    if cfg.input_size[0] != 3:
        raise BenchError(f"{name}: this model takes {cfg.input_size[0]} channels, and a video's frame has 3")
    if at and not Path(file).is_file():
        raise BenchError(f"{name}: there is no file {file or 'after the @'}; write timm:MODEL.TAG@FILE")
    return Source(f"{arch}.{cfg.tag}" if cfg.has_weights else arch, cfg, Path(file) if at else None)


def _unknown(what: str, given: str, known: Sequence[str], how: str) -> NoReturn:
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known[:20]) or 'none'}"
    raise BenchError(f'timm {timm.__version__} has no {what}; {hint} (all: python -c "{how}")')


def locate(source: Source) -> Path:
    """The weights file that a name means. Raises BenchError with what is missing and how to get it."""
    if source.file is not None:
        return source.file
    where = _weights.folder(source.name)
    if not source.cfg.has_weights:
        raise BenchError(f"timm has no weights of {source.model}; name a file of your own: timm:{source.model}@FILE")
    return _weights.the_one(
        where,
        _weights.SUFFIXES,
        f"no weights of {source.model} on this machine: put timm's {HUB_FILES[0]} of it into {where}, or run "
        f"`python -m bench fetch timm:{source.model}` where there is network",
    )


def fetch(source: Source) -> Path:
    """Get a model's weights from timm's repository of them, on a machine with network; where they now lie."""
    if source.file is not None:
        raise BenchError(f"{source.file} is a file of yours; there is nothing to fetch")
    if not source.cfg.hf_hub_id:
        raise BenchError(
            f"timm has no file of {source.model} in its own layout ({source.cfg.url or 'no address at all'}); "
            f"save a state dict of the model yourself and name it: timm:{source.model}@FILE"
        )
    from adapters import _fetch

    return _fetch.get(source.name, [_fetch.Wanted(source.cfg.hf_hub_id, HUB_FILES)])


def load(source: Source, family: str, version: int, device: str) -> TimmAdapter:
    """The encoder with the weights on this machine, every key or nothing."""
    path = locate(source)
    model: Any = timm.create_model(source.model, pretrained=False, num_classes=0)
    with _weights.verified(source.lock_name, path) as sha256:
        load_strict(model, path, _without_classifier(source.cfg))
    transform = FrameTransform.of(source.cfg)
    counted = cost.operations(model.eval(), (1, 3, *transform.size))
    stated = f"not stated (own weights, prepared as {source.cfg.tag})"
    facts = BackboneFacts(
        name=source.name,
        family=family,
        architecture=source.model.partition(".")[0],
        weights=path.name if source.file else str(source.cfg.tag),
        weights_sha256=sha256,
        embed_dim=int(getattr(model, "head_hidden_size", None) or model.num_features),
        num_frames=NUM_FRAMES,
        transform=transform.name,
        dtype="float32",
        pretraining=stated if source.file else f"timm tag {source.cfg.tag}",
        licence=stated if source.file else source.cfg.license or "not stated",
        version=version,
        num_parameters=sum(p.numel() for p in model.parameters()),
        precisions=("float32", "bf16", "fp16"),
        gflops=counted.gflops,
        gflops_source=counted.why_not,
    )
    return TimmAdapter(model, transform, facts, device)


def _without_classifier(cfg: PretrainedCfg) -> Callable[[State], State]:
    """What is left of a released file without its classifier: the only keys that an encoder may do without."""
    names = (cfg.classifier,) if isinstance(cfg.classifier, str) else cfg.classifier or ()
    left_out = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
    return lambda state: {key: value for key, value in state.items() if key not in left_out}


@dataclass(frozen=True)
class FrameTransform:
    """uint8 `(T, H, W, 3)` -> float32 `(T, 3, h, w)` by timm's own evaluation transform, frame by frame."""

    size: tuple[int, int]
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    crop_mode: str

    @classmethod
    def of(cls, cfg: PretrainedCfg) -> FrameTransform:
        """The transform that timm makes for a set of weights."""
        config: dict[str, Any] = resolve_data_config(pretrained_cfg=cfg.to_dict())
        size = tuple(config.pop("input_size")[1:])
        return cls(size, **config)

    @cached_property
    def compose(self) -> Callable[[Image.Image], Tensor]:
        fields = asdict(self)
        size = fields.pop("size")
        made: Callable[[Image.Image], Tensor] = create_transform((3, *size), is_training=False, **fields)
        return made

    def __call__(self, frames: np.ndarray) -> Tensor:
        return torch.stack([self.compose(Image.fromarray(frame)) for frame in frames])

    @property
    def name(self) -> str:
        """A readable id of everything that the transform does to a pixel."""
        height, width = self.size
        return f"timm-{self.crop_mode}-{height}x{width}-{self.interpolation}-{digest({k: str(v) for k, v in asdict(self).items()}, 8)}"


class TimmAdapter(NoText):
    """A frozen image encoder, a frame at a time; no text side."""

    def __init__(self, model: nn.Module, transform: FrameTransform, facts: BackboneFacts, device: str) -> None:
        self._model: Any = model.to(device).float().eval().requires_grad_(False)
        self._transform, self._facts, self._device = transform, facts, device

    @property
    def facts(self) -> BackboneFacts:
        return self._facts

    @property
    def module(self) -> nn.Module:
        return self._model

    @property
    def transform(self) -> FrameTransform:
        return self._transform

    def encode_video(self, video: Tensor) -> Features:
        """float32 `(N, T, 3, h, w)` -> frame embeddings float32 `(N, T, D)`, pooled as timm pools them, not normalised."""
        num, num_frames = video.shape[:2]
        with torch.no_grad():
            maps = self._model.forward_features(video.flatten(0, 1).to(self._device))
            frames = self._model.forward_head(maps, pre_logits=True)
        return Features(frames.float().unflatten(0, (num, num_frames)))
