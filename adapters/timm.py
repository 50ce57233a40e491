"""Any image encoder of timm by its own name: DINO, MAE, supervised ViTs and convnets. No text side: methods that read text are n/a."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters._timm import TimmAdapter

VERSION = 1
FAMILY = "timm"
MODELS: dict[str, str] = {}
OPEN = (
    "an image encoder of timm: timm:MODEL.TAG (fetched like any other), or timm:MODEL.TAG@FILE with your own weights; "
    "for example timm:vit_small_patch14_dinov2.lvd142m"
)


def load(name: str, device: str) -> TimmAdapter:
    """The frozen encoder behind `timm:MODEL[.TAG][@FILE]`. Raises BenchError where its weights are not at hand."""
    from adapters import _timm  # seconds to import, so only for who loads a model

    return _timm.load(_timm.parse(name), FAMILY, VERSION, device)


def fetch(name: str) -> str:
    """Get a model's weights, on a machine with network; where they now lie."""
    from adapters import _timm

    return str(_timm.fetch(_timm.parse(name)))


def at_hand(name: str) -> str:
    """Where a model's weights lie on this machine. Raises BenchError with what to do where they do not."""
    from adapters import _timm

    return str(_timm.locate(_timm.parse(name)))
