import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BenchError
from bench.manifest import build, load, save, stamp

CLASSES = ("run", "wave")


def rows(count=4, **columns):
    """Rows of files that need not exist, two classes in turn; a column's value is one for all rows or a list."""
    table = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in range(count)],
            "path": [f"{i}.mp4" for i in range(count)],
            "label": [CLASSES[i % 2] for i in range(count)],
        }
    )
    return table.astype(object).assign(**{name: _objects(value, count) for name, value in columns.items()})


def _objects(value, count):
    """A column that can hold what pandas' own strings cannot."""
    return pd.Series(value if isinstance(value, list) else [value] * count, dtype=object)


@pytest.fixture
def folder(tmp_path):
    """Four files with contents of their own."""
    root = tmp_path / "videos"
    root.mkdir()
    for i in range(4):
        (root / f"{i}.mp4").write_bytes(f"content {i}".encode() * 100)
    return root


FAULTS = {
    "an id twice": (rows(video_id=["a", "b", "b", "c"]), {}, ["1 video ids", "'b'", "distinct"]),
    "a foreign label": (
        rows(label=["run", "wave", "runn", "run"]),
        {},
        ["'runn'", "not in the class list", "run, wave"],
    ),
    "a missing label": (rows(label=["run", "wave", None, "run"]), {}, ["1 rows", "not in the class list"]),
    "a class without videos": (rows(label="run"), {}, ["no videos for wave"]),
    "a path out of the root": (rows(path=["../x.mp4", "1", "2", "3"]), {}, ["'../x.mp4'", "leaves the root"]),
    "an absolute path": (rows(path=["/etc/passwd", "1", "2", "3"]), {}, ["'/etc/passwd'", "leaves the root"]),
    "an end before its start": (
        rows(start_s=[0, 0, 3.5, 0], end_s=[1, 1, 3, 1]),
        {},
        ["end_s is not after start_s", "'v2'"],
    ),
    "an empty window": (rows(start_s=[0, 0, 2, 0], end_s=[1, 1, 2, 1]), {}, ["end_s is not after start_s", "'v2'"]),
    "a box of three numbers": (rows(box=["0,0,1", "", "", ""]), {}, ["'0,0,1'", "four numbers"]),
    "a box of words": (rows(box=["a,b,c,d", "", "", ""]), {}, ["'a,b,c,d'", "four numbers"]),
    "a box that leaves the picture": (rows(box=["0,0,1.1,1", "", "", ""]), {}, ["'0,0,1.1,1'", "leaves the picture"]),
    "an empty box": (rows(box=[".5,0,.5,1", "", "", ""]), {}, ["'.5,0,.5,1'", "empty"]),
    "a box that is not a number": (rows(box=["nan,0,1,1", "", "", ""]), {}, ["'nan,0,1,1'"]),
    "an id with a line break": (rows(video_id=["a\r", "b", "c", "d"]), {}, ["video_id 'a\\r'", "control character"]),
    "a label with a NUL": (rows(label=["run\0", "wave", "run", "run"]), {}, ["label 'run\\x00'", "control character"]),
    "a file name that is not UTF-8": (rows(path=["\udcff.mp4", "1", "2", "3"]), {}, ["udcff.mp4'", "not valid UTF-8"]),
    "no rows": (rows(0), {}, ["no videos found"]),
    "no label column": (rows().drop(columns="label"), {}, ["lack the column 'label'", "video_id, path"]),
    "too few numbers": (rows(), {"numeric": {"speed": [1.0]}}, ["numeric column speed", "1 values for 4 rows"]),
    "a group on both sides": (
        rows(group=["s1", "s2", "s1", "s2"]),
        {"splits": {"1": ["train", "train", "test", "train"]}},
        ["split 1", "1 groups stand on both sides", "'s1'"],
    ),
    "a group in validation and test": (
        rows(group=["s1", "s2", "s1", "s2"]),
        {"splits": {"1": ["val", "train", "test", "train"]}},
        ["'s1'"],
    ),
    "an unknown group in test": (
        rows(group=["", "s2", "", "s2"]),
        {"splits": {"7": ["test", "train", "train", "train"]}},
        ["split 7", "unknown group is in test"],
    ),
    "a strange role": (
        rows(),
        {"splits": {"1": ["train", "tset", "test", "train"]}},
        ["unknown role 'tset'", "train, val, test"],
    ),
    "too few roles": (rows(), {"splits": {"1": ["train", "test"]}}, ["split 1", "2 roles for 4 rows"]),
    "too many roles": (rows(), {"splits": {"1": ["train", "test"] * 3}}, ["split 1", "6 roles for 4 rows"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_error_that_says_what_and_where(fault, folder):
    table, more, said = FAULTS[fault]
    with pytest.raises(BenchError) as error:
        build("mine", table, CLASSES, folder, **more)
    for part in said:
        assert part in str(error.value)


def test_a_class_listed_twice_is_an_error(folder):
    with pytest.raises(BenchError, match="listed twice"):
        build("mine", rows(), ("run", "wave", "run"), folder)


def test_a_link_out_of_the_root_is_an_error(folder, tmp_path):
    (tmp_path / "elsewhere.mp4").write_bytes(b"x")
    (folder / "link.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(BenchError, match="'link.mp4' leaves the root"):
        build("mine", rows(path=["link.mp4", "1.mp4", "2.mp4", "3.mp4"]), CLASSES, folder)


def test_a_link_within_the_root_and_a_root_that_is_a_link_are_fine(folder, tmp_path):
    (folder / "link.mp4").symlink_to(folder / "0.mp4")
    (tmp_path / "alias").symlink_to(folder)
    manifest = build("mine", rows(path=["link.mp4", "1.mp4", "2.mp4", "3.mp4"]), CLASSES, tmp_path / "alias")
    assert manifest.rows["stamp"][0] == stamp(folder / "0.mp4")


PLACES = [
    "v.mp4",
    "./a/v.mp4",
    "a/../v.mp4",
    "a//v.mp4",
    "link",
    "folder/v.mp4",
    "folder/../v.mp4",
    "a/up/v.mp4",
    "gone/v.mp4",
]
OUTSIDE = ["../else/x.mp4", "out", "beyond/x.mp4", "beyond/../v.mp4", "a/../../else/x.mp4", "..", "a/b/../../.."]


@pytest.fixture
def crooked(tmp_path):
    """A root with links to files and folders in it and out of it, and `..` behind them."""
    root = tmp_path / "root"
    for place in ("a/b/v.mp4", "a/v.mp4", "v.mp4", "../else/x.mp4"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(place.encode())
    links = {"link": "a/v.mp4", "folder": "a/b", "a/up": "..", "out": "../else/x.mp4", "beyond": "../else"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    return root


@pytest.mark.parametrize("place", [*PLACES, "/v.mp4"])
def test_a_path_leads_where_the_system_says(place, crooked):
    place = f"{crooked}{place}" if place.startswith("/") else place
    found = build("mine", [{"video_id": "0", "path": place, "label": "run"}], ("run",), crooked).rows["path"][0]
    assert found == str((crooked / place).resolve())


@pytest.mark.parametrize("place", OUTSIDE)
def test_whatever_way_a_path_takes_out_of_the_root_is_an_error(place, crooked):
    known = {"video_id": "1", "path": "a/v.mp4", "label": "run"}  # its folder is one that was looked up before
    with pytest.raises(BenchError, match="leaves the root"):
        build("mine", [known, {"video_id": "0", "path": place, "label": "run"}], ("run",), crooked)


def test_digest_stays_when_the_folder_moves(folder, tmp_path):
    before = build("mine", rows(), CLASSES, folder)
    moved = folder.rename(tmp_path / "moved")
    after = build("mine", rows(), CLASSES, moved)
    assert before.digest == after.digest
    assert before.rows["path"][0] != after.rows["path"][0]


CHANGES = {
    "label": {"label": ["wave", "wave", "run", "run"]},
    "id": {"video_id": ["other", "v1", "v2", "v3"]},
    "group": {"group": ["s1", "s2", "s3", "s4"]},
    "window": {"start_s": [0.5, float("nan"), float("nan"), float("nan")]},
    "box": {"box": ["0,0,1,.5", "", "", ""]},
    "order": {"path": ["1.mp4", "0.mp4", "2.mp4", "3.mp4"]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_digest_changes_with_what_a_row_says(change, folder):
    assert (
        build("mine", rows(**CHANGES[change]), CLASSES, folder).digest != build("mine", rows(), CLASSES, folder).digest
    )


@pytest.mark.parametrize("place", [0, -1])
def test_digest_changes_with_a_files_first_and_last_byte(place, folder):
    path = folder / "3.mp4"
    path.write_bytes(b"x" * 300_000)
    before = build("mine", rows(), CLASSES, folder).digest
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))
    assert build("mine", rows(), CLASSES, folder).digest != before


def test_digest_changes_with_classes_splits_and_numbers(folder):
    split = {"splits": {"1": ["train", "train", "test", "test"]}}
    made = [
        build("mine", rows(), CLASSES, folder),
        build("mine", rows(), CLASSES[::-1], folder),
        build("mine", rows(), CLASSES, folder, **split),
        build("mine", rows(), CLASSES, folder, numeric={"speed": [1, 2, 3, 4]}),
        build("mine", rows(), CLASSES, folder, numeric={"speed": [1, 2, 3, 5]}),
    ]
    assert len({m.digest for m in made}) == len(made)


def test_a_file_that_is_not_there_is_a_row_with_a_stamp_of_its_own(folder):
    (folder / "0.mp4").unlink()
    (folder / "1.mp4").unlink()
    manifest = build("mine", rows(), CLASSES, folder)
    assert manifest.rows["stamp"].iloc[:2].str.startswith("missing ").all()
    assert manifest.rows["stamp"].nunique() == 4


def test_what_pandas_likes_to_guess_comes_back_as_it_was(folder, tmp_path):
    table = pd.DataFrame(
        {
            "video_id": ["001", "1e5", "NA", 'a "b", c'],
            "path": ["0.mp4", "1.mp4", "2.mp4", "3.mp4"],
            "label": ["NA", "null", "NA", "null"],
            "group": ["", "007", "nan", "None"],
            "start_s": [0.1, None, 1 / 3, 1e-9],
            "box": ["", "0,0,.5,1", "", ""],
        }
    )
    numbers = {"speed": [0.1 + 0.2, float("nan"), -0.0, 1e300]}
    splits = {"1": ["train", "test", "", "val"]}
    made = build("mine", table, ("null", "NA"), folder, splits=splits, numeric=numbers, group_kind="subject")
    save(made, tmp_path / "kept")
    back = load(tmp_path / "kept", made.digest)
    pd.testing.assert_frame_equal(back.rows, made.rows, check_dtype=False)
    assert back.rows["video_id"].tolist() == ["001", "1e5", "NA", 'a "b", c']
    assert back.rows["group"].tolist() == ["", "007", "nan", "None"]
    assert (back.class_names, back.group_kind, back.dataset) == (("null", "NA"), "subject", "mine")
    assert back.digest == made.digest


@settings(max_examples=30, deadline=None)
@given(
    ids=st.lists(
        st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8),
        min_size=2,
        max_size=5,
        unique=True,
    )
)
def test_any_text_survives_the_way_through_a_file(ids, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    table = pd.DataFrame({"video_id": ids, "path": [f"{i}.mp4" for i in range(len(ids))], "label": "x"})
    made = build("mine", table, ("x",), folder)
    save(made, folder)
    assert load(folder, made.digest).rows["video_id"].tolist() == ids


def test_a_csv_that_was_changed_by_hand_is_refused(folder, tmp_path):
    path = save(build("mine", rows(), CLASSES, folder), tmp_path)
    path.write_text(path.read_text().replace("v0", "v9"))
    with pytest.raises(BenchError, match="changed by hand.*delete it"):
        load(tmp_path, path.stem)


def test_facts_that_were_changed_by_hand_are_refused(folder, tmp_path):
    path = save(build("mine", rows(), CLASSES, folder), tmp_path)
    facts = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**facts, "class_names": ["wave", "run"]}))
    with pytest.raises(BenchError, match="changed by hand"):
        load(tmp_path, path.stem)


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "0123456789ABCDEF", "0" * 15])
def test_only_a_digest_names_a_manifest(key, tmp_path):
    with pytest.raises(BenchError, match="not a manifest digest"):
        load(tmp_path, key)


def test_a_manifest_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="no manifest 0000000000000000"):
        load(tmp_path, "0" * 16)


def many():
    """Two classes of 12 rows, a split of 6 and 6, three groups a side; one group has most of the rows."""
    groups = ["a", "a", "a", "a", "b", "c", "d", "d", "d", "d", "e", "f"]
    table = rows(24, label=["run"] * 12 + ["wave"] * 12, group=groups * 2)
    return build("mine", table, CLASSES, Path(), splits={"1": (["train"] * 6 + ["test"] * 6) * 2})


def test_limited_keeps_so_many_a_class_and_side_from_many_groups():
    whole = many()
    kept = whole.limited(3)
    counts = kept.rows.groupby(["label", "split:1"]).size()
    assert counts.tolist() == [3, 3, 3, 3]
    assert kept.rows.groupby(["label", "split:1"])["group"].nunique().tolist() == [3, 3, 3, 3]
    assert kept.rows["video_id"].isin(whole.rows["video_id"]).all()
    assert kept.rows["video_id"].tolist() == sorted(kept.rows["video_id"], key=lambda v: int(v[1:])), (
        "in the order of the data set"
    )
    assert kept.rows.index.tolist() == list(range(12))


def test_limited_beyond_what_is_there_or_none_changes_nothing():
    whole = many()
    assert whole.limited(None) is whole
    assert whole.limited(100).digest == whole.digest


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_leaves_nothing_is_an_error(limit):
    with pytest.raises(BenchError, match="give 1 or more"):
        many().limited(limit)


def test_without_groups_each_video_is_its_own(folder):
    manifest = build("mine", rows(), CLASSES, folder, group_kind="subject")
    assert manifest.rows["group"].tolist() == manifest.rows["video_id"].tolist()
    assert manifest.group_kind == "video"


def test_digest_is_a_property_of_the_rows_alone(folder):
    made = build("mine", rows(), CLASSES, folder)
    assert replace(made, rows=made.rows.copy()).digest == made.digest
