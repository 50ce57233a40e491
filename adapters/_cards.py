"""What a family file says of its models without loading anything, so that listing names costs nothing."""

from __future__ import annotations

from dataclasses import dataclass

TINY = "toy-scale weights of this repository: for checking the path, their numbers say nothing about real models"


@dataclass(frozen=True, kw_only=True)
class Card:
    """A named model: open_clip architecture and pretrained tag, what it was trained on, its licence, frames a video."""

    architecture: str
    tag: str
    pretraining: str
    licence: str
    num_frames: int = 8

    def __str__(self) -> str:
        return f"open_clip {self.architecture} / {self.tag}, {self.pretraining}, {self.licence}"
