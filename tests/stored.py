"""Six small videos, their manifest and a feature store of a fake backbone."""

from bench.features import FeatureStore, store_folder
from bench.manifest import build

CLASSES = ("run", "wave")
NUM = 4  # frames a video


def manifest_of(root, names=None, **columns):
    names = names or sorted(p.name for p in root.iterdir())
    rows = [{"video_id": n, "path": n, "label": CLASSES[i % 2]} for i, n in enumerate(names)]
    for column, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[column] = value
    return build("mine", rows, CLASSES, root)


def store_of(home, adapter, **changes):
    values = {"num_frames": NUM, "sampling": "segment_centre", "decoder": "pyav", "precision": "float32", **changes}
    return FeatureStore(store_folder(home / "features", adapter, **values))


def fill(store, manifest, adapter, positions=None, **more):
    return store.fill(manifest, positions if positions is not None else range(len(manifest.rows)), adapter, NUM, **more)
