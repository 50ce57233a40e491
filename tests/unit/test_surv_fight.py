"""Surveillance Camera Fight: its list is checked, sources are groups, undocumented ones only train, folds test each known clip once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import protocols
from bench.contracts import BenchError, DataRequest
from bench.datasets import surv_fight
from bench.manifest import UNKNOWN_GROUP, Manifest

FOLDS = [str(fold) for fold in surv_fight.DATASET.replicates]
SETTINGS = [("few_shot", 1), ("few_shot", 4), ("few_shot", 16), ("cross_subject", None)]


def listed() -> pd.DataFrame:
    """60 clips of ten sources, three a class each, and twelve of no source that is known, none of them a fight."""
    rows = [
        (f"{label}/{source}-{i}.mp4", label, f"source{source}")
        for source in range(10)
        for label in surv_fight.CLASSES
        for i in range(3)
    ]
    rows += [(f"noFight/u{i}.mp4", "noFight", "undocumented") for i in range(12)]
    return pd.DataFrame(rows, columns=list(surv_fight.COLUMNS))


@pytest.fixture
def made(tmp_path: Path):
    """The manifest of such a folder; its clips are never opened."""

    def make(table: pd.DataFrame | None = None, without: tuple[str, ...] = ()) -> Manifest:
        table = listed() if table is None else table
        for name in table.get("path", []):
            if name not in without:
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_bytes(name.encode())
        table.to_csv(tmp_path / surv_fight.LIST, index=False)
        return surv_fight.manifest(request(tmp_path))

    return make


def request(root: Path | None) -> DataRequest:
    return DataRequest(root=root, workspace=Path("unused"))


def roles(manifest: Manifest, fold: str, protocol: str, shots: int | None) -> dict[str, pd.DataFrame]:
    found = protocols.views(manifest, protocol, fold, int(fold), shots)
    return {side: manifest.rows.iloc[list(getattr(found, side))] for side in ("train", "val", "test")}


def test_clips_become_rows_with_their_source_as_group(made) -> None:
    manifest = made()
    assert manifest.dataset == "surv_fight" and manifest.class_names == ("fight", "no fight")
    assert manifest.rows["video_id"].tolist() == listed()["path"].tolist()
    assert Counter(manifest.rows["label"]) == {"fight": 30, "no fight": 42}
    assert manifest.group_kind == "source video" and manifest.splits == ()
    assert Counter(manifest.rows["group"])[UNKNOWN_GROUP] == 12 and manifest.rows["group"].nunique() == 11


def test_folds_keep_sources_apart_and_test_each_known_clip_once(made) -> None:
    check_folds(made())


def check_folds(manifest: Manifest) -> None:
    """No source on two sides, unknown ones in training alone, and over the folds each known clip is tested once."""
    known = manifest.rows[manifest.rows["group"] != UNKNOWN_GROUP]
    for protocol, shots in SETTINGS:
        tested: list[str] = []
        for fold in FOLDS:
            if protocol == "few_shot" and shots == 16 and len(known) < 100:
                continue
            sides = roles(manifest, fold, protocol, shots)
            groups = {side: set(rows["group"]) for side, rows in sides.items()}
            assert UNKNOWN_GROUP not in groups["val"] | groups["test"]
            assert not (groups["train"] | groups["val"]) & groups["test"]
            assert not groups["train"] & groups["val"]
            assert all(set(rows["label"]) == set(manifest.class_names) for rows in sides.values())
            tested += sides["test"]["video_id"].tolist()
        if tested:
            assert sorted(tested) == sorted(known["video_id"])


def test_undocumented_clips_train(made) -> None:
    manifest = made()
    unknown = set(manifest.rows["video_id"][manifest.rows["group"] == UNKNOWN_GROUP])
    assert unknown <= set(roles(manifest, "1", "cross_subject", None)["train"]["video_id"])


def test_the_list_and_the_root_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"needs the folder that holds manifest\.csv"):
        surv_fight.manifest(request(None))
    with pytest.raises(BenchError, match=r"no file .*manifest\.csv; it is a csv with the columns path, label"):
        surv_fight.manifest(request(tmp_path))
    (tmp_path / surv_fight.LIST).write_bytes(b'path,label,source_video\na,"b\n')
    with pytest.raises(BenchError, match=r"manifest\.csv is no readable csv"):
        surv_fight.manifest(request(tmp_path))


@pytest.mark.parametrize("column", surv_fight.COLUMNS)
def test_a_column_that_is_not_there_is_named(made, column: str) -> None:
    with pytest.raises(BenchError, match=f"has no column '{column}'.*mend the list"):
        made(listed().drop(columns=column))


def test_a_label_that_is_no_class_is_named(made) -> None:
    with pytest.raises(BenchError, match="the label 'brawl' is none of fight, noFight"):
        made(listed().replace({"label": {"fight": "brawl"}}))


def test_clips_that_are_not_there_are_counted_and_one_is_named(made) -> None:
    gone = ("fight/3-1.mp4", "noFight/u4.mp4")
    with pytest.raises(BenchError, match=r"2 of its 72 clips are not there, such as 'fight/3-1\.mp4'; copy the whole"):
        made(without=gone)


def test_a_clip_listed_twice_and_a_path_out_of_the_root_are_errors(made) -> None:
    twice = pd.concat([listed(), listed().head(1)])
    with pytest.raises(BenchError, match="video ids occur more than once"):
        made(twice)
    with pytest.raises(BenchError, match="leaves the root"):
        made(listed().replace({"path": {"fight/0-0.mp4": "../0-0.mp4"}}))


def test_the_real_clips_are_whole_and_their_folds_hold(shared_data: Path) -> None:
    manifest = surv_fight.manifest(request(shared_data / "surv_fight"))
    assert Counter(manifest.rows["label"]) == {"fight": 150, "no fight": 150}
    unknown = manifest.rows[manifest.rows["group"] == UNKNOWN_GROUP]
    assert Counter(unknown["label"]) == {"no fight": 30}
    assert manifest.rows["group"].nunique() == 44 + 1
    assert not manifest.rows["stamp"].duplicated().any(), "no clip is another one's copy"
    check_folds(manifest)


def test_the_folds_of_the_real_clips_are_as_even_as_documented(shared_data: Path) -> None:
    """44 sources, of which one has 19 clips of one class: sizes and shares cannot be equal, but no fold is all of one class."""
    manifest = surv_fight.manifest(request(shared_data / "surv_fight"))
    tests = [roles(manifest, fold, "cross_subject", None)["test"] for fold in FOLDS]
    assert [len(test) for test in tests] == [53, 52, 60, 53, 52]
    shares = [np.mean(test["label"] == "fight") for test in tests]
    assert min(shares) > 0.45 and max(shares) < 0.63


def test_no_test_clip_shows_a_place_of_its_training_clips_as_far_as_is_known(shared_data: Path) -> None:
    manifest = surv_fight.manifest(request(shared_data / "surv_fight"))
    unknown = {f"noFight/nofi{number:03d}.mp4" for number in range(62, 92)}
    room = {"fight/fi044.mp4", "fight/fi045.mp4", "noFight/nofi022.mp4"}
    tested = []
    for fold in FOLDS:
        sides = {side: set(rows["video_id"]) for side, rows in roles(manifest, fold, "cross_subject", None).items()}
        assert unknown <= sides["train"], fold
        assert len([side for side in sides.values() if room & side]) == 1, fold
        tested += sides["test"]
    assert len(tested) == 270 and room <= set(tested)


def test_a_list_that_is_right_is_taken_as_it_is(made) -> None:
    table = listed()
    room = pd.DataFrame(
        [("noFight/nofi022.mp4", "noFight", "g0x9-0pOuhw"), ("noFight/nofi062.mp4", "noFight", "another")],
        columns=list(surv_fight.COLUMNS),
    )
    rows = made(pd.concat([table, room], ignore_index=True)).rows.set_index("video_id")["group"]
    assert rows["noFight/nofi022.mp4"] == "IZjLv7alWTk" and rows["noFight/nofi062.mp4"] == "another"
