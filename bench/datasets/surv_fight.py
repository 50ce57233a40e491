"""Surveillance Camera Fight: real clips of about two seconds from surveillance cameras, fight or not, grouped by source video.

No split is published. There are the five folds of `bench.protocols`, drawn once for all (StratifiedGroupKFold, seed 0): no source video
is in two of them, and the classes are as even as whole source videos allow. Replicate r tests on fold r, so five replicates test each
clip of a known source once. A random split leaks: clips of one source share the camera, the place and the people. The list is
not right about three clips, whose pictures show another source: WRONG mends that, docs/surv_fight.md says how it was found.
"""

from __future__ import annotations

import pandas as pd

from bench.contracts import BenchError, DataRequest, DatasetFacts
from bench.datasets import _csv
from bench.manifest import UNKNOWN_GROUP, Manifest, build
from bench.protocols import FOLDS

LIST = "manifest.csv"
COLUMNS = ("path", "label", "source_video")
CLASSES = {"fight": "fight", "noFight": "no fight"}  # the list's labels, and as words
# Where the list is wrong about a clip's source, as its pictures show (docs/surv_fight.md): path -> what it says, what is so.
WRONG = {
    "noFight/nofi022.mp4": ("g0x9-0pOuhw", "IZjLv7alWTk"),  # the authors list it under both
    "noFight/nofi062.mp4": ("Zf0N39iRlYo", "undocumented"),
    "noFight/nofi076.mp4": ("Zf0N39iRlYo", "undocumented"),
}
BEWARE = (
    "surv_fight: 30 clips of no fight whose source video is not known train in every fold; their pictures show five places that no test "
    "clip shows. The list's source of three clips is wrong and was mended (docs/surv_fight.md)."
)
UNDOCUMENTED = "undocumented"  # the list's word for a source that nobody wrote down: not one video, so never one group

DATASET = DatasetFacts(
    name="surv_fight",
    summary="Surveillance Camera Fight: 300 clips, 2 classes, 44 known source videos; root = folder of manifest.csv",
    licence="research use only: the footage was cut from the web (Akti, Tataroglu and Ekenel, IPTA 2019; the list is MIT)",
    needs_root=True,
    templates=("{}", "a video of {}.", "a surveillance video of {}.", "surveillance camera footage of {}."),
    bank="surv_fight",
    replicates=tuple(range(1, FOLDS + 1)),
    split_per_seed=True,
    beware=BEWARE,
    version=2,
)


def manifest(request: DataRequest) -> Manifest:
    """List the clips of `<root>/manifest.csv`, which has the columns COLUMNS; clips of an undocumented source only train.

    Raises:
        BenchError: no root, no list, a column that it lacks, a label other than those of CLASSES, clips that are not there.
    """
    if request.root is None:
        raise BenchError(f"surv_fight needs the folder that holds {LIST}: give it as ROOT= or root=")
    root = request.root
    path = root / LIST
    if not path.is_file():
        raise BenchError(
            f"surv_fight: there is no file {path}; it is a csv with the columns {', '.join(COLUMNS)}, beside the folders of clips"
        )
    table = _csv.table(path, [(column, column) for column in COLUMNS], "mend the list")
    if strange := sorted(set(table["label"]) - set(CLASSES)):
        raise BenchError(f"{path}: the label {strange[0]!r} is none of {', '.join(CLASSES)}; mend the list")
    if gone := [name for name in table["path"] if not (root / name).is_file()]:
        raise BenchError(
            f"{path}: {len(gone)} of its {len(table)} clips are not there, such as {gone[0]!r}; copy the whole data set to {root}"
        )
    sources = pd.Series(
        [
            WRONG[name][1] if WRONG.get(name, ("",))[0] == said else said
            for name, said in zip(table["path"], table["source_video"], strict=True)
        ],
        dtype=object,
    )
    rows = pd.DataFrame(
        {
            "video_id": table["path"],
            "path": table["path"],
            "label": table["label"].map(CLASSES),
            "group": sources.mask(sources == UNDOCUMENTED, UNKNOWN_GROUP),
        }
    )
    return build(DATASET.name, rows, tuple(CLASSES.values()), root, group_kind="source video")
