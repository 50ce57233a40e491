"""Florence3D: real people's Kinect joint sequences, as stick figures, ten published cross-subject splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contracts import DataRequest, DatasetFacts
from bench.datasets import _skeleton

if TYPE_CHECKING:
    from bench.manifest import Manifest

DATASET = DatasetFacts(
    name="florence3d",
    summary="Florence 3D Actions: 215 Kinect sequences, 9 classes, 10 subjects; root = folder of the .npz",
    licence="research use only (Seidenari et al., CVPR Workshops 2013)",
    needs_root=True,
    templates=("{}", "a video of a person doing {}.", "a stick figure doing {}."),
    bank="florence3d",
    shots=(1, 2, 4),
    split_per_seed=True,
    version=_skeleton.VERSION,
)


def manifest(request: DataRequest) -> Manifest:
    """List the sequences of `<root>/florence3d.npz`; see `_skeleton.manifest`."""
    return _skeleton.manifest("florence3d", _skeleton.in_folder("florence3d", request), request)
