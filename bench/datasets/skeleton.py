"""Any Kinect joint sequences in one .npz, rendered as stick figures; root is the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contracts import BenchError, DataRequest, DatasetFacts
from bench.datasets import _skeleton

if TYPE_CHECKING:
    from bench.manifest import Manifest

DATASET = DatasetFacts(
    name="skeleton",
    summary="Kinect joint sequences of one .npz (15 or 20 joints), rendered as stick figures; root = the file",
    licence="that of the file",
    needs_root=True,
    templates=("{}", "a video of a person doing {}.", "a stick figure doing {}."),
    shots=(1, 2, 4),
    split_per_seed=True,
    version=_skeleton.VERSION,
)


def manifest(request: DataRequest) -> Manifest:
    """List the sequences of the file at `request.root`; see `_skeleton.manifest`."""
    if request.root is None:
        raise BenchError("skeleton needs an .npz file of joint sequences: give its path as ROOT= or root=")
    return _skeleton.manifest("skeleton", request.root, request)
