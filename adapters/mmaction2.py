"""Recognisers of MMAction2 with values drawn from a fixed seed: stands in until the real one comes."""

from __future__ import annotations

from typing import Any

from bench.contracts import RECOGNIZER, BackboneFacts, Features, digest

VERSION = 1
MODELS: dict[str, str] = {}
OPEN = "a recogniser of MMAction2: mmaction2:CONFIG"


class RecognizerStandIn:
    def __init__(self, name: str, device: str) -> None:
        import torch

        from bench import recognizers
        from bench.compat import mmaction2

        self.name, self.device = name, device
        self.path = recognizers.path_of(name)
        self.recipe: Any = mmaction2.read_config(self.path)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.module = self.recognizer().to(device).eval().requires_grad_(False)
        self.facts = BackboneFacts(
            name=name,
            family="mmaction2",
            architecture=name,
            weights="random weights",
            weights_sha256=digest(name, 64),
            embed_dim=400,
            num_frames=8,
            transform="x",
            dtype="float32",
            pretraining="none (random weights)",
            licence="Apache-2.0",
            version=1,
            num_parameters=sum(p.numel() for p in self.module.parameters()),
            capabilities=frozenset({RECOGNIZER}),
        )

    def recognizer(self, num_classes: int | None = None, num_frames: int | None = None) -> Any:
        from bench.compat import mmaction2

        model = mmaction2.build(self.path, num_classes, num_frames=num_frames)
        mmaction2.draw(model)
        return model


def load(name: str, device: str) -> RecognizerStandIn:
    return RecognizerStandIn(name.partition(":")[2], device)
