"""What a family file says of its models without loading anything, so that listing names costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TINY = "toy-scale weights of this repository: for checking the path, their numbers say nothing about real models"
CLIP_TEXT = "77 tokens, causal, pooled at end-of-text; lower-cased"


@dataclass(frozen=True, kw_only=True)
class Card:
    """A named model: where its weights come from, what they may be used for, and what it costs.

    `architecture` is open_clip's name of it or transformers' model class; `tag` is open_clip's pretrained tag or the Hugging
    Face repository. `gflops` counts 10^9 floating-point operations (a multiply-add is two) of the visual side a frame.
    `text_rule` says how texts are cut, padded and pooled. `sha256` pins the file that is loaded, where somebody published its hash.
    """

    library: Literal["open_clip", "transformers"] = "open_clip"
    architecture: str
    tag: str
    pretraining: str
    licence: str
    num_parameters: int
    gflops: float
    text_rule: str
    num_frames: int = 8
    fixed_num_frames: bool = False
    precisions: tuple[str, ...] = ("float32", "bf16", "fp16")
    sha256: str | None = None

    def __str__(self) -> str:
        size = f"{self.num_parameters / 1e6:.0f} M parameters, {self.gflops:.0f} GFLOP a frame"
        frames = f", {self.num_frames} frames" if self.fixed_num_frames else ""
        return f"{self.library} {self.architecture} / {self.tag}, {self.pretraining}, {self.licence}, {size}{frames}"
