"""Recognisers of MMAction2 as frozen video encoders: the middle clip and crop of their own test pipeline, what their classifier is given.

Shape legend: N videos, T frames, D embedding size.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from adapters import _mmaction2_checkpoint, _weights
from adapters._state import fill
from adapters._text import NoText
from bench import cost, recognizers
from bench.compat import mmaction2
from bench.contracts import RECOGNIZER, UNTRAINED, BackboneFacts, BenchError, Features, digest

if TYPE_CHECKING:
    import numpy as np

    from adapters._mmaction2_checkpoint import Checkpoint
    from bench.clips import Pipeline

SEED = 0  # of random weights


def load(name: str, family: str, version: int, device: str) -> Mmaction2Adapter:
    """The recogniser behind an open name, its values from the checkpoint on this machine, every key or nothing."""
    source = _mmaction2_checkpoint.parse(name)
    known = recognizers.find(source.config)
    if known.flow:
        raise BenchError(f"{source.config} looks at optical flow; kpbench gives backbones RGB frames alone")
    pipeline = recognizers.pipeline(source.config)
    checkpoint = _mmaction2_checkpoint.read(source) if source.address else None
    if checkpoint is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = recognizer(source.config, None)
        sha256, weights, pretraining = _sha256_of(model), "random weights", UNTRAINED
    else:
        model = recognizer(source.config, checkpoint)
        _weights.lock(source.lock_name, checkpoint.seen)  # a damaged file never gets here
        sha256, weights = checkpoint.seen.sha256, source.file
        pretraining = recognizers.trained_on(source.file) or "not stated (own weights)"
    encoder, embed_dim = Encoder.of(model, known.frames == 1)
    transform = FrameTransform.of(pipeline, mmaction2.read_config(recognizers.path_of(source.config))["model"])
    num_frames = pipeline.sampling.num_frames
    counted = cost.operations(encoder.eval(), (1, num_frames, 3, transform.size, transform.size))
    facts = BackboneFacts(
        name=source.name,
        family=family,
        architecture=source.config,
        weights=weights,
        weights_sha256=sha256,
        embed_dim=embed_dim,
        num_frames=num_frames,
        fixed_num_frames=not encoder.frame_by_frame,
        sampling=pipeline.sampling.text,
        transform=transform.name,
        dtype="float32",
        pretraining=pretraining,
        licence="not stated (own weights)" if source.address else "Apache-2.0",
        version=version,
        num_parameters=sum(p.numel() for p in encoder.parameters()),
        capabilities=frozenset({RECOGNIZER}),
        precisions=("float32", "bf16", "fp16"),
        gflops=None if counted.gflops is None else counted.gflops / num_frames,
        gflops_source=counted.why_not,
    )
    return Mmaction2Adapter(encoder, transform, facts, device, checkpoint)


def recognizer(
    config: str, checkpoint: Checkpoint | None, num_classes: int | None = None, num_frames: int | None = None
) -> Any:
    """A recogniser on the CPU, in train mode, with the checkpoint's values; without one drawn from torch's global generator.

    Args:
        config: its name.
        checkpoint: its values, which stay as they are.
        num_classes: others than its own, whatever their number; what depends on it is drawn.
        num_frames: a view, in place of the config's own.

    Raises:
        BenchError: it cannot be built here, or its checkpoint does not fit.
    """
    path = recognizers.path_of(config)
    if checkpoint is None:
        model = mmaction2.build(path, num_classes, num_frames=num_frames)
        mmaction2.draw(model)
        return model
    state, file = checkpoint.state, checkpoint.seen.path
    of_classes = _keys_of_classes(config)
    own = {state[key].shape[axis] for key, axis in of_classes.items() if key in state}
    if len(own) > 1:
        raise BenchError(
            f"{file} tells {' and '.join(map(str, sorted(own)))} classes apart in different layers; it is damaged"
        )
    model = mmaction2.build(path, num_classes or (own.pop() if own else None), num_frames=num_frames)
    if num_classes is not None:
        mmaction2.draw(model)
        drawn = model.state_dict()
        state = state | {key: drawn[key] for key in of_classes if key in state}
    fill(model, state, file)
    return model


def _keys_of_classes(config: str) -> dict[str, int]:
    """The tensors of a recogniser whose shape depends on the number of classes -> the axis that does."""
    path, num_classes = recognizers.path_of(config), recognizers.find(config).num_classes
    if num_classes is None:
        return {}
    before, after = (
        {key: value.shape for key, value in mmaction2.build(path, n, values=False).state_dict().items()}
        for n in (num_classes, num_classes + 1)
    )
    return {
        key: next(axis for axis, (a, b) in enumerate(zip(before[key], after[key], strict=True)) if a != b)
        for key in before
        if before[key] != after[key]
    }


def _sha256_of(model: nn.Module) -> str:
    """Hex sha256 over the names and values of a model."""
    total = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        total.update(f"{key} {value.dtype} {tuple(value.shape)}\0".encode() + value.contiguous().numpy().tobytes())
    return total.hexdigest()


class Encoder(nn.Module):
    """A recogniser without its classifier: float32 `(N, T, 3, h, w)` -> `(N, T, D)`, or `(N, 1, D)` where it looks at the whole clip."""

    model: Any

    def __init__(self, model: nn.Module, frame_by_frame: bool) -> None:
        super().__init__()
        self.model, self.frame_by_frame = model, frame_by_frame
        self.is_2d = type(model).__name__ == "Recognizer2D"

    @classmethod
    def of(cls, model: Any, frame_by_frame: bool) -> tuple[Encoder, int]:
        """The encoder, and D. The last layer is taken out, and with it what merges scores of frames, or relates frames to give scores."""
        head: Any = model.cls_head
        if hasattr(head, "fc3d"):
            embed_dim, head.fc3d[-1] = head.fc3d[-1].in_features, nn.Identity()
        else:
            last = "fc2" if hasattr(head, "fc2") else "fc_cls"
            embed_dim = getattr(head, last).in_features
            setattr(head, last, nn.Identity())
        if type(head).__name__ in ("TSMHead", "TRNHead"):
            head.consensus = nn.Identity()
        if getattr(getattr(model, "neck", None), "aux_head", None) is not None:
            model.neck.aux_head = None  # for training only
        return cls(model, frame_by_frame), int(embed_dim)

    def forward(self, video: Tensor) -> Tensor:
        num = len(video)
        if not self.is_2d:
            views = video.transpose(1, 2)[:, None]
        else:
            # A view a frame, or all of them together.
            views = video.flatten(0, 1)[:, None] if self.frame_by_frame else video
        found = self.model.extract_feat(views.contiguous(), stage="head")
        found = found[0] if isinstance(found, tuple) else found  # OmniSource's gives no tuple
        each: Tensor = found.reshape(num, -1, found.shape[-1])
        return each


@dataclass(frozen=True)
class FrameTransform:
    """uint8 `(T, H, W, 3)` -> float32 `(T, 3, size, size)`: the shorter side, the middle crop, MMAction2's normalisation."""

    side: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, pipeline: Pipeline, model: Mapping[str, Any]) -> FrameTransform:
        """The one of a config's test pipeline and data preprocessor."""
        said = model["data_preprocessor"]
        return cls(pipeline.side, pipeline.size, tuple(said["mean"]), tuple(said["std"]))

    def __call__(self, frames: np.ndarray) -> Tensor:
        from bench.clips import middle

        pixels = torch.from_numpy(middle(frames, self.side, self.size).copy()).permute(0, 3, 1, 2)
        mean, std = (torch.tensor(value, dtype=torch.float32).view(-1, 1, 1) for value in (self.mean, self.std))
        return ((pixels - mean) / std).contiguous()

    @property
    def name(self) -> str:
        """A readable id of everything that the transform does to a pixel."""
        made = [version_of("mmaction2"), dataclasses.astuple(self)]
        return f"mmaction2-{made[0]}-short{self.side}-centre{self.size}-{digest(made, 8)}"


class Mmaction2Adapter(NoText):
    """A frozen recogniser, and copies of it to train: of the very values that it has, for its checkpoint is read once."""

    ENCODES = "videos"

    def __init__(
        self,
        encoder: Encoder,
        transform: FrameTransform,
        facts: BackboneFacts,
        device: str,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._encoder = encoder.to(device).float().eval().requires_grad_(False)
        self._transform, self._facts, self._device, self._checkpoint = transform, facts, device, checkpoint

    @property
    def facts(self) -> BackboneFacts:
        return self._facts

    @property
    def module(self) -> nn.Module:
        return self._encoder

    @property
    def transform(self) -> FrameTransform:
        return self._transform

    def encode_video(self, video: Tensor) -> Features:
        """float32 `(N, T, 3, h, w)` -> what the classifier is given, float32 `(N, T or 1, D)`, pooled as it pools, not normalised."""
        if self._facts.fixed_num_frames and video.shape[1] != self._facts.num_frames:
            raise BenchError(f"{self._facts.name} takes {self._facts.num_frames} frames, not {video.shape[1]}")
        with torch.no_grad():
            return Features(self._encoder(video.to(self._device)).float())

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recogniser's config of MMAction2's wheel."""
        return mmaction2.read_config(recognizers.path_of(self._facts.architecture))

    def recognizer(self, num_classes: int | None = None, num_frames: int | None = None) -> nn.Module:
        """A fresh copy to train; see `RecognizerAdapter`. Without a checkpoint its values are drawn from torch's global generator."""
        made: nn.Module = recognizer(self._facts.architecture, self._checkpoint, num_classes, num_frames)
        return made
