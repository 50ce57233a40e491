"""The feature stores of planned runs: filled in this process, with what the runs will read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench._processes import cores
from bench.decoding import decode_workers
from bench.devices import one_thread
from bench.forward import Encoder
from bench.planning import feature_store, load_adapter, load_manifest, needs

if TYPE_CHECKING:
    from bench.contracts import Adapter
    from bench.features import Extraction
    from bench.specs import ResolvedRun


def extract(planned: Sequence[ResolvedRun], home: Path) -> list[Extraction]:
    """Fill the feature stores for these runs, in this process, store by store."""
    return [extract_rows(need.resolved, need.positions, home) for need in needs(planned, home)]


def extract_rows(
    resolved: ResolvedRun,
    positions: Sequence[int],
    home: Path,
    progress: Callable[[int], None] = lambda rows: None,
    workers: int | None = None,
) -> Extraction:
    """Fill one feature store with these rows of the run's manifest.

    Args:
        workers: processes that decode beside this one; None leaves it to `decode_workers`.
    """
    adapter, spec = load_adapter(resolved.spec.backbone), resolved.spec
    encoder = _encoder(adapter, spec.precision, spec.compile, resolved.num_frames)
    count = decode_workers(encoder.device.type, cores()) if workers is None else workers
    manifest, features = load_manifest(home, resolved.manifest), feature_store(resolved, home)
    with one_thread():
        return features.fill(
            manifest, positions, adapter, resolved.num_frames, count, progress, encoder, resolved.sampling
        )


def _encoder(adapter: Adapter, precision: str, compile: bool, num_frames: int) -> Encoder:
    """The encoder of the call before where it fits: it is compiled, and its batch size measured."""
    key = (precision, compile, num_frames)
    if not any(encoder.adapter is adapter and known == key for known, encoder in _last_encoder):
        _last_encoder[:] = [(key, Encoder(adapter, precision, compile))]
    return _last_encoder[0][1]


def forget_encoder() -> None:
    """Let go of the encoder that is kept, and of the backbone in it."""
    _last_encoder.clear()


_last_encoder: list[tuple[tuple[str, bool, int], Encoder]] = []
