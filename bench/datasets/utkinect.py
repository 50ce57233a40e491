"""UTKinect: real people's Kinect joint sequences, as stick figures, ten published cross-subject splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contracts import DataRequest, DatasetFacts
from bench.datasets import _skeleton

if TYPE_CHECKING:
    from bench.manifest import Manifest

DATASET = DatasetFacts(
    name="utkinect",
    summary="UTKinect-Action3D: 199 Kinect sequences, 10 classes, 10 subjects; root = folder of the .npz",
    licence="research use only (Xia, Chen and Aggarwal, HAU3D 2012)",
    needs_root=True,
    templates=("{}", "a video of a person doing {}.", "a stick figure doing {}."),
    bank="utkinect",
    shots=(1, 2, 4),
    split_per_seed=True,
    version=_skeleton.VERSION,
)


def manifest(request: DataRequest) -> Manifest:
    """List the sequences of `<root>/utkinect.npz`; see `_skeleton.manifest`."""
    return _skeleton.manifest("utkinect", _skeleton.in_folder("utkinect", request), request)
