"""Published numbers: what the table that ships holds, what is refused, what is of one setting, and which sources contradict each other."""

import csv
import dataclasses
import itertools

import pytest

from bench import conflicts, published
from bench.contracts import BenchError

K400, K600, UCF, HMDB, SSV2 = "Kinetics-400", "Kinetics-600", "UCF-101", "HMDB-51", "SSv2"
# Typed from the READMEs: microsoft/VideoX X-CLIP/README.md at 0cf704a, muzairkhattak/ViFi-CLIP README.md at 2938602, and
# open-mmlab/mmaction2 configs/recognition/mvit/README.md at 14118a3. (source, backbone, frames, data set, shots, metric, value)
TYPED = [
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/32", "8", K400, None, "top1", 80.4),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/32", "16", K400, None, "top5", 95.5),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "8", K400, None, "top1", 83.8),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "16", K400, None, "top5", 96.8),
    ("X-CLIP", "X-CLIP", "CLIP ViT-L/14@336", "16", K400, None, "top1", 87.7),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "8", K600, None, "top5", 97.1),
    ("X-CLIP", "X-CLIP", "CLIP ViT-L/14", "8", K600, None, "top1", 88.3),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "32", HMDB, 2, "top1", 53.0),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "32", HMDB, 8, "top1", 62.8),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "32", UCF, 4, "top1", 83.4),
    ("X-CLIP", "X-CLIP", "CLIP ViT-B/16", "32", UCF, 16, "top1", 91.4),
    ("ViFi-CLIP", "CLIP image-FT", "CLIP ViT-B/16", "32", HMDB, None, "top1", 49.0),
    ("ViFi-CLIP", "CLIP text-FT", "CLIP ViT-B/16", "32", K600, None, "top1", 68.5),
    ("ViFi-CLIP", "ViFi-CLIP", "CLIP ViT-B/16", "32", UCF, None, "top1", 76.8),
    ("ViFi-CLIP", "CLIP image-FT", "CLIP ViT-B/16", "32", K400, 16, "novel", 58.0),
    ("ViFi-CLIP", "ViFi-CLIP", "CLIP ViT-B/16", "32", K400, 16, "HM", 67.9),
    ("ViFi-CLIP", "CLIP text-FT", "CLIP ViT-B/16", "32", HMDB, 16, "base", 70.0),
    ("ViFi-CLIP", "ViFi-CLIP", "CLIP ViT-B/16", "32", UCF, 16, "base", 92.9),
    ("mmaction2", "mmaction2 mvit", "MViTv2-B", "32x3x1", K400, None, "top1", 82.6),
    ("mmaction2", "mmaction2 mvit", "MViTv2-L", "40x3x1", K400, None, "top5", 96.2),
    ("mmaction2", "mmaction2 mvit", "MViTv2-B", "uniform 32", SSV2, None, "top1", 70.8),
    ("mmaction2", "mmaction2 mvit", "MViTv2-L", "uniform 40", SSV2, None, "top5", 94.0),
]


# --- the table that ships --------------------------------------------------------------------------------------------


def test_every_row_parses_and_has_a_source_and_a_name_of_its_own():
    rows = published.load()
    assert len(rows) == 1518 and published.FILE.stat().st_size < 2_000_000
    assert all(row.source and row.reported_by for row in rows)
    assert len({row.name for row in rows}) == len(rows)


@pytest.mark.parametrize("typed", TYPED, ids=str)
def test_values_are_those_of_the_cited_readme(typed):
    by, method, backbone, frames, dataset, shots, metric, value = typed
    found = [
        row.value
        for row in published.load()
        if (row.reported_by, row.method, row.backbone, row.frames) == (by, method, backbone, frames)
        and (row.dataset, row.shots, row.metric) == (dataset, shots, metric)
        and "github:" in row.source
    ]
    assert found == [value]


HEADER = published.FILE.read_text().splitlines()[0]
GOOD = "X,CLIP,,,8,1x1,zero_shot_LVLM,,UCF-101,,top1,80.4,0.5,Y,a README,"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (GOOD.replace("80.4", "nan"), "'nan' is no number"),
        (GOOD.replace("80.4", ""), "'' is no number"),
        (GOOD.replace("80.4", "100.4"), "the value 100.4 is not in percent"),
        (GOOD.replace("80.4", "0.804"), "the value 0.804 is not in percent"),
        (GOOD.replace("80.4", "-3"), "the value -3 is not in percent"),
        (GOOD.replace("0.5", "-1"), "the std -1 is no standard deviation"),
        (GOOD.replace("a README", ""), "it has no source"),
        (GOOD.replace("top1", "top2"), "unknown metric 'top2'"),
        (GOOD.replace("zero_shot_LVLM", "zero"), "unknown protocol 'zero'"),
        (GOOD.replace("LVLM,,", "LVLM,0,"), "shots is '0'"),
        (GOOD + ",", "it has 17 fields, not 16"),
        (GOOD.replace("UCF", "U\x1bF"), "holds a control character"),
        (GOOD.replace("UCF", " UCF"), "blanks around it"),
        (GOOD + "\n" + GOOD, "the same row as line 2"),
        ('"' + GOOD, "it is no csv"),
    ],
)
def test_a_row_that_is_none_is_refused_with_its_line(tmp_path, line, said):
    path = tmp_path / "published.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(BenchError, match=r"line [23].*" + said):
        published.load(path)


def test_a_table_of_other_columns_is_refused(tmp_path):
    (tmp_path / "published.csv").write_text("method,value\n")
    with pytest.raises(BenchError, match="line 1: its columns are not method, backbone"):
        published.load(tmp_path / "published.csv")


# --- what a row is of ------------------------------------------------------------------------------------------------


def raw(**wanted):
    """Rows of the file as csv reads it, without any rule of ours."""
    with published.FILE.open(newline="") as f:
        return [line for line in csv.DictReader(f) if all(line[k] == v for k, v in wanted.items())]


def test_three_draws_of_the_classes_of_kinetics_600_are_no_splits_of_its_videos():
    lines = raw(dataset=K600, split="mean of 3")
    drawn = [row for row in published.load() if row.dataset == K600 and row.split == "mean of 3"]
    assert len(drawn) == len(lines) == 46 and {line["protocol"] for line in lines} == {
        "zero_shot_from_K400",
        "zero_shot_no_video_training",
    }
    assert {(frozenset(row.draws), row.over) for row in drawn} == {
        (frozenset("123"), "mean of 3 draws of 160 of 220 classes")
    }
    assert all(row.our_splits is None for row in drawn)
    told = next(row for row in published.load() if row.split == "mean of 3 (160 of 220 classes)")
    assert told.over == drawn[0].over and told.our_splits is None
    (second,) = [row for row in published.load() if row.split == "split2"]
    assert second.dataset == K600 and second.over == "draw 2 of 160 of 220 classes" and second.draws == {"2"}
    assert "over mean of 3 draws of 160 of 220 classes" in published.line(drawn[0])
    for splits in ({"1"}, {"2"}, {"1", "2", "3"}):
        beside = published.beside("kinetics600", "zero_shot", None, splits, "top1")
        assert beside and {row.split for row in beside} == {""}, "those on all its classes"


def test_a_mean_over_three_splits_of_other_data_sets_is_what_it_was():
    rows = [row for row in published.load() if row.split == "mean of 3" and row.dataset in (UCF, HMDB)]
    assert len(rows) == 92
    assert {(row.over, frozenset(row.our_splits), frozenset(row.draws)) for row in rows} == {
        ("mean of splits 1, 2, 3", frozenset("123"), frozenset())
    }
    (plain,) = {(row.over, row.our_splits) for row in published.load() if row.dataset == K600 and not row.split}
    assert plain == ("", None)


def test_a_split_behind_the_name_of_a_data_set_is_a_split():
    rows = [row for row in published.load() if row.dataset == "UCF-101 split1"]
    assert [(row.dataset_key, row.over, row.our_splits) for row in rows] == [("ucf101", "split1", {"1"})] * 2
    assert set(rows[:1]) <= set(published.beside("ucf101", "cross_subject", None, {"1"}, "top1"))
    assert not set(rows) & set(published.beside("ucf101", "cross_subject", None, {"2"}, "top1"))


def test_what_is_frozen_is_zero_shot_in_a_table_of_what_was_trained_too():
    lines = [line for line in raw(pretraining="CLIP WIT-400M") if line["protocol"] == "zero_shot_from_K400"]
    assert len(lines) == 9 and {line["method"] for line in lines} == {"CLIP (frozen)", "CLIP (frozen zero-shot)"}
    frozen = [r for r in published.load() if r.protocol.startswith("zero_shot_from") and r.our_protocol]
    assert {(r.method, r.our_protocol) for r in frozen} == {(line["method"], "zero_shot") for line in lines}
    assert len(frozen) == 9


# --- conflicts -------------------------------------------------------------------------------------------------------


def row(**changes):
    plain = published.Published(
        **dict.fromkeys(("pretraining", "trainable", "frames", "views", "split", "note"), ""),
        **{"method": "X-CLIP", "backbone": "CLIP ViT-B/16", "protocol": "few_shot_all_way", "shots": 4, "dataset": UCF},
        **{"metric": "top1", "value": 83.4, "std": None, "reported_by": "A", "source": "A Table 1"},
    )
    return dataclasses.replace(plain, **changes)


ALIKE = [
    ({"method": "ActionCLIP"}, {"method": "ActionCLIP (FROSTER re-impl.)"}),
    ({"method": "ViFi-CLIP"}, {"method": "ViFi-CLIP (re-evaluated by MAXI)"}),
    ({"method": "A5 (Ju et al.)"}, {"method": "A5/VPT (Ju et al.)"}),
    ({"method": "CLIP (frozen)"}, {"method": "Frozen CLIP"}),
    ({"method": "CLIP (frozen zero-shot)"}, {"method": "zero-shot CLIP"}),
    ({"dataset": "UCF-101 split1"}, {"dataset": "ucf101", "split": "split1"}),
    ({"dataset": "MiT"}, {"dataset": "Moments-in-Time"}),
    ({"backbone": "OpenAI CLIP ViT-L/14"}, {"backbone": "CLIP ViT-L/14"}),
    ({"pretraining": "clip-kinetics710"}, {"pretraining": "CLIP + K710"}),
    ({"pretraining": "Kinetics400"}, {"pretraining": "K400"}),
    ({"frames": "16x4x1"}, {"frames": "uniform 16"}),
    ({"frames": "1x1x8"}, {"frames": "8"}),
    ({"frames": "16/32"}, {"frames": "32"}),
    ({"views": "4 clips x 3 crop"}, {"views": "4x3"}),
    ({"frames": "8"}, {}),
    ({"split": "mean of 3"}, {}),
]
UNLIKE = [
    ({"method": "TC-CLIP"}, {"method": "TC-CLIP (P: K400-pretrained)"}),
    ({"method": "MAXI"}, {"method": "MAXI (+GPT3 verbs)"}),
    ({"method": "ST-Adapter (12x384)"}, {"method": "ST-Adapter (24x384)"}),
    ({"backbone": "CLIP ViT-L/14"}, {"backbone": "CLIP ViT-L/14@336"}),
    ({"backbone": "as printed by MoTE"}, {"backbone": "as printed by MoTE"}),
    ({"pretraining": "CLIP WIT-400M"}, {"pretraining": "CLIP WIT-400M + K400"}),
    ({"pretraining": "CLIP WIT-400M + K400"}, {"pretraining": "CLIP WIT-400M + K400 (no labels)"}),
    ({"dataset": K400}, {"dataset": "Kinetics-400 (mmaction2 copy)"}),
    ({"frames": "8x8x1"}, {"frames": "dense-8x8x1"}),
    ({"frames": "8"}, {"frames": "16"}),
    ({"views": "3x1"}, {"views": "1x3"}),
    ({"views": "16 clips x 10 crop (efficient)"}, {"views": "16 clips x 10 crop (accurate)"}),
    ({"split": "split1"}, {"split": "split2"}),
    ({"protocol": "zero_shot_from_K400", "shots": None}, {"protocol": "zero_shot_from_UCF101", "shots": None}),
    ({"shots": 4}, {"shots": 8}),
    ({"metric": "top1"}, {"metric": "top5"}),
    ({}, {"source": "A Table 1", "note": "a variant"}),
    ({}, {"value": 83.36}),
]


@pytest.mark.parametrize(("one", "other"), ALIKE, ids=str)
def test_other_values_of_what_may_be_the_same_thing_are_a_conflict(one, other):
    a, b = row(**one), row(**{"value": 75.6, "reported_by": "B", "source": "B Table 2", **other})
    assert conflicts.conflicts(a, [a, b]) == [b] and conflicts.conflicts(b, [a, b]) == [a]
    assert conflicts.groups([a, b]) == [[a, b]]


@pytest.mark.parametrize(("one", "other"), UNLIKE, ids=str)
def test_what_differs_in_what_both_tell_is_no_conflict(one, other):
    a, b = row(**one), row(**{"value": 75.6, "reported_by": "B", "source": "B Table 2", **other})
    assert conflicts.conflicts(a, [a, b]) == [] and conflicts.groups([a, b]) == []


def test_the_conflicts_of_the_table_are_those_that_were_looked_at():
    found = [
        (group[0].dataset, group[0].shots, group[0].metric, sorted({(r.value, r.reported_by) for r in group}))
        for group in conflicts.groups(published.load())
    ]
    assert len(found) == 24
    # What the notes of the table itself say contradicts each other.
    for told in (
        (UCF, 2, "top1", [(48.5, "MAXI"), (76.4, "MoTE"), (76.4, "X-CLIP")]),
        (UCF, 4, "top1", [(75.6, "MAXI"), (83.4, "MoTE"), (83.4, "X-CLIP")]),
        (UCF, 8, "top1", [(83.7, "MAXI"), (88.3, "MoTE"), (88.3, "X-CLIP")]),
        (K600, None, "top1", [(62.5, "FROSTER"), (66.7, "MAXI"), (67.7, "MoTE")]),
        (UCF, None, "top1", [(58.3, "MAXI"), (58.3, "MoTE"), (77.5, "FROSTER")]),
        (HMDB, None, "top1", [(38.0, "MAXI"), (47.9, "FROSTER")]),
    ):
        assert told in found, told
    both = [{r.source for r in group} for group in conflicts.groups(published.load())]
    assert all(len(sources) > 1 for sources in both)
    ablations = itertools.chain.from_iterable(conflicts.groups(published.load()))
    assert not any("ablation" in r.protocol for r in ablations)
