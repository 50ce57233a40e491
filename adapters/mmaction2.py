"""Any recogniser of MMAction2's zoo as a frozen video encoder, by the name of its config. No text side: methods that read text are n/a."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters._mmaction2 import Mmaction2Adapter

VERSION = 1
FAMILY = "MMAction2"
MODELS: dict[str, str] = {}
OPEN = (
    "a recogniser of MMAction2: mmaction2:CONFIG@FILE with its checkpoint, mmaction2:CONFIG@URL#sha256=HEX with one that "
    "`fetch` gets, or mmaction2:CONFIG with random weights (configs: list --kind recognizers)"
)


def load(name: str, device: str) -> Mmaction2Adapter:
    """The frozen recogniser behind `mmaction2:CONFIG[@CHECKPOINT]`. Raises BenchError where it or its checkpoint is not to be had."""
    from adapters import _mmaction2  # seconds to import, so only for who loads a model

    return _mmaction2.load(name, FAMILY, VERSION, device)


def fetch(name: str) -> str:
    """Get the checkpoint of `mmaction2:CONFIG@URL#sha256=HEX`, on a machine with network; where it now lies."""
    from adapters import _mmaction2_checkpoint

    return str(_mmaction2_checkpoint.fetch(_mmaction2_checkpoint.parse(name)))


def at_hand(name: str) -> str:
    """Where a recogniser's checkpoint lies on this machine. Raises BenchError with what to do where it does not."""
    from adapters import _mmaction2_checkpoint

    source = _mmaction2_checkpoint.parse(name)
    return str(_mmaction2_checkpoint.locate(source)) if source.address else "random weights"
