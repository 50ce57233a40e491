import itertools
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import BenchError
from bench.manifest import Manifest, build
from bench.protocols import FOLDS, VAL_PER_CLASS, base_classes, views

CLASSES = ("jump", "run", "wave")


def manifest(
    train_groups=6, test_groups=2, per_group=4, split=True, unknown=0, val_groups=0, classes=CLASSES
) -> Manifest:
    """`per_group` videos a class in each group; the last groups are the test side, `unknown` videos a class have no group."""
    sides = ["train"] * train_groups + ["val"] * val_groups + ["test"] * test_groups
    rows = [
        {"label": c, "group": f"g{g}", "role": side}
        for g, side in enumerate(sides)
        for c in classes
        for _ in range(per_group)
    ]
    rows += [{"label": c, "group": "", "role": "train"} for c in classes for _ in range(unknown)]
    table = pd.DataFrame(rows)
    table["video_id"] = table["path"] = [f"v{i}" for i in range(len(table))]
    splits = {"1": table["role"].tolist()} if split else None
    return build("mine", table.drop(columns="role"), classes, Path("/nowhere"), splits=splits)


def per_class(m, positions):
    return m.rows["label"].iloc[list(positions)].value_counts().to_dict()


def groups(m, positions):
    return set(m.rows["group"].iloc[list(positions)])


@pytest.mark.parametrize("shots", [1, 2, 4, 5, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_few_shot_is_k_a_class_and_validates_on_min_k_4(shots, seed):
    m = manifest()
    v = views(m, "few_shot", "1", seed, shots)
    assert per_class(m, v.train) == dict.fromkeys(CLASSES, shots)
    assert per_class(m, v.val) == dict.fromkeys(CLASSES, min(shots, VAL_PER_CLASS))
    assert v.test == tuple(range(6 * 3 * 4, 8 * 3 * 4))
    assert v.train == tuple(sorted(set(v.train))) and v.val == tuple(sorted(set(v.val)))


@pytest.mark.parametrize(("protocol", "shots"), [("few_shot", 4), ("few_shot", 16), ("cross_subject", None)])
@pytest.mark.parametrize("seed", range(1, 6))
def test_no_group_is_on_both_sides_and_validation_has_groups_of_its_own(protocol, shots, seed):
    m = manifest(unknown=3)
    v = views(m, protocol, "1", seed, shots)
    assert v.selection == "validation on other groups"
    assert not groups(m, v.train) & groups(m, v.val)
    assert not (groups(m, v.train) | groups(m, v.val)) & groups(m, v.test)
    assert "" not in groups(m, v.val) | groups(m, v.test)


def test_where_validation_must_share_groups_it_says_so():
    m = manifest(train_groups=1, per_group=8)
    v = views(m, "few_shot", "1", 1, 4)
    assert v.selection == "validation shares groups with training"
    assert per_class(m, v.train) == per_class(m, v.val) == dict.fromkeys(CLASSES, 4)
    assert not set(v.train) & set(v.val)


def test_groups_are_set_aside_even_where_only_one_choice_of_them_works():
    """Only g2 holds every class twice; the others hold one class each and can only train together."""
    rows = [
        ("g0", "jump"),
        ("g0", "run"),
        ("g1", "wave"),
        *[("g2", c) for c in CLASSES],
        ("t", "jump"),
        ("t", "run"),
        ("t", "wave"),
    ]
    table = pd.DataFrame(rows, columns=["group", "label"])
    table["video_id"] = table["path"] = [f"v{i}" for i in range(len(table))]
    m = build("mine", table, CLASSES, Path("/nowhere"), splits={"1": ["train"] * 6 + ["test"] * 3})
    found = {groups(m, views(m, "few_shot", "1", seed, 1).val).pop() for seed in range(1, 9)}
    for seed in range(1, 9):
        v = views(m, "few_shot", "1", seed, 1)
        assert v.selection == "validation on other groups"
        assert groups(m, v.val) in ({"g2"}, {"g0", "g1"})
    assert found


@pytest.mark.parametrize("num_groups", [17, 40])
def test_many_groups_are_no_reason_to_share(num_groups):
    m = manifest(train_groups=num_groups, per_group=1)
    v = views(m, "few_shot", "1", 1, num_groups - 4)
    assert v.selection == "validation on other groups"
    assert len(groups(m, v.val)) == VAL_PER_CLASS and per_class(m, v.train) == dict.fromkeys(CLASSES, num_groups - 4)


@pytest.mark.parametrize("shots", [21, 24, 100])
def test_too_many_shots_is_an_error_that_says_the_most(shots):
    with pytest.raises(
        BenchError, match=f"{shots} training and 4 validation videos a class.*has only 24.*most shots it allows is 20"
    ):
        views(manifest(), "few_shot", "1", 1, shots)
    views(manifest(), "few_shot", "1", 1, 20)


@pytest.mark.parametrize(("available", "most"), [(2, 1), (3, 1), (4, 2), (6, 3), (8, 4), (9, 5), (1, 0)])
def test_the_most_shots_can_be_had_and_one_more_cannot(available, most):
    m = manifest(train_groups=1, per_group=available)
    with pytest.raises(BenchError, match=f"most shots it allows is {most}$"):
        views(m, "few_shot", "1", 1, most + 1)
    if most:
        assert per_class(m, views(m, "few_shot", "1", 1, most).train) == dict.fromkeys(CLASSES, most)


def test_the_class_that_has_too_few_is_named():
    m = manifest(train_groups=2, per_group=2)
    few = m.rows[~((m.rows["label"] == "run") & (m.rows["group"] == "g0"))].reset_index(drop=True)
    with pytest.raises(BenchError, match="'run' has only 2"):
        views(Manifest("mine", CLASSES, few), "few_shot", "1", 1, 2)


def test_a_limit_that_is_why_there_are_too_few_is_named_and_one_that_is_not_is_not():
    m = manifest()
    for asked in (("few_shot", "1", 1, 4), ("cross_subject", "1", 1, None)):
        with pytest.raises(
            BenchError, match=r"'jump' has only 3 in training.*--limit is why: the whole data set has enough"
        ):
            views(m.limited(3), *asked)
    with pytest.raises(BenchError, match="'jump' has only 3 in training") as found:
        views(m.limited(3), "few_shot", "1", 1, 40)
    assert "--limit" not in str(found.value)


def test_a_published_validation_part_is_used():
    m = manifest(train_groups=4, val_groups=2, per_group=3)
    v = views(m, "few_shot", "1", 1, 5)
    assert v.selection == "published validation part"
    assert groups(m, v.val) <= {"g4", "g5"} and groups(m, v.train) <= {"g0", "g1", "g2", "g3"}
    assert per_class(m, v.val) == dict.fromkeys(CLASSES, 4)
    whole = views(m, "cross_subject", "1", 1)
    assert per_class(m, whole.train) == dict.fromkeys(CLASSES, 12) and per_class(m, whole.val) == dict.fromkeys(
        CLASSES, 6
    )


def test_beside_a_published_validation_part_all_of_training_are_shots():
    m = manifest(train_groups=4, val_groups=2, per_group=3)
    assert per_class(m, views(m, "few_shot", "1", 1, 12).train) == dict.fromkeys(CLASSES, 12)
    with pytest.raises(BenchError, match="most shots it allows is 12$"):
        views(m, "few_shot", "1", 1, 13)


def test_a_published_validation_part_that_is_too_small_is_called_by_its_name():
    m = manifest(train_groups=4, val_groups=1, per_group=3)
    with pytest.raises(BenchError, match="only 3 in the published validation part"):
        views(m, "few_shot", "1", 1, 4)


def test_the_seed_draws_and_nothing_else_does():
    m = manifest()
    drawn = [views(m, "few_shot", "1", seed, 4) for seed in (1, 2, 3, 1)]
    assert drawn[0] == drawn[3]
    for a, b in itertools.combinations(drawn[:3], 2):
        assert a.train != b.train and a.val != b.val and a.test == b.test


def test_zero_shot_trains_on_nothing():
    m = manifest()
    v = views(m, "zero_shot", "1", 1)
    assert (v.train, v.val) == ((), ()) and len(v.test) == 24


def test_cross_subject_trains_on_everything_that_does_not_validate():
    m = manifest(unknown=2)
    v = views(m, "cross_subject", "1", 1)
    validating = groups(m, v.val)
    pool = set(range(6 * 12)) | set(range(8 * 12, 8 * 12 + 6))
    assert set(v.train) == {p for p in pool if m.rows["group"][p] not in validating}
    assert per_class(m, v.val) == dict.fromkeys(CLASSES, VAL_PER_CLASS)


def test_unknown_groups_never_validate_even_where_groups_must_be_shared():
    m = manifest(train_groups=1, per_group=6, unknown=20)
    for seed in range(1, 6):
        for v in (views(m, "few_shot", "1", seed, 2), views(m, "cross_subject", "1", seed)):
            assert "" not in groups(m, v.val)


def test_folds_test_each_video_of_a_known_group_once_and_train_on_the_unknown():
    m = manifest(train_groups=11, test_groups=0, split=False, unknown=3)
    folds = [views(m, "cross_subject", str(i + 1), 1) for i in range(FOLDS)]
    tested = [p for v in folds for p in v.test]
    assert sorted(tested) == list(range(11 * 12))
    for v in folds:
        assert not groups(m, v.train + v.val) & groups(m, v.test)
        assert set(v.train) >= set(range(11 * 12, 11 * 12 + 9))
        assert set(per_class(m, v.test)) == set(CLASSES)


def test_folds_do_not_depend_on_the_seed():
    m = manifest(train_groups=11, test_groups=0, split=False)
    assert views(m, "few_shot", "2", 1, 4).test == views(m, "few_shot", "2", 9, 4).test


@pytest.mark.parametrize(
    ("split", "known"), [(True, "has no split '2'; it has 1$"), (False, "folds 1, 2, 3, 4, 5, and no '9'")]
)
def test_an_unknown_split_is_an_error_that_lists_them(split, known):
    with pytest.raises(BenchError, match=known):
        views(manifest(split=split), "zero_shot", "2" if split else "9", 1)


def test_too_few_groups_for_folds_is_an_error():
    with pytest.raises(BenchError, match="has 4 groups, too few for 5 folds; add a split column"):
        views(manifest(train_groups=4, test_groups=0, split=False), "zero_shot", "1", 1)


def test_fewer_videos_of_every_class_than_folds_is_an_error_not_a_traceback():
    m = manifest(train_groups=9, test_groups=0, per_group=1, split=False)
    thin = pd.concat([m.rows[m.rows["label"] == c].iloc[3 * i : 3 * i + 3] for i, c in enumerate(CLASSES)]).reset_index(
        drop=True
    )
    with pytest.raises(BenchError, match="folds"):
        views(Manifest("mine", CLASSES, thin), "zero_shot", "1", 1)


def test_a_rare_class_is_not_in_every_fold_and_that_warns_nobody():
    m = manifest(train_groups=9, test_groups=0, split=False)
    thin = m.rows[(m.rows["label"] != "run") | m.rows["group"].isin(("g0", "g1"))].groupby(["label", "group"]).head(1)
    v = views(Manifest("mine", CLASSES, thin.reset_index(drop=True)), "zero_shot", "1", 1)
    assert v.test


def test_an_unknown_protocol_is_an_error():
    with pytest.raises(BenchError, match="unknown protocol 'one_shot'"):
        views(manifest(), "one_shot", "1", 1)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6),
    shots=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_whatever_the_groups_hold_the_promises_hold_or_it_is_an_error(sizes, shots, seed):
    """`sizes`: how many videos of either class each training group has."""
    rows = [
        (f"g{g}", c) for g, of_group in enumerate(sizes) for c, n in zip("ab", of_group, strict=True) for _ in range(n)
    ]
    table = pd.DataFrame([*rows, ("t", "a"), ("t", "b")], columns=["group", "label"])
    table["video_id"] = table["path"] = [f"v{i}" for i in range(len(table))]
    m = build("mine", table, ("a", "b"), Path("/nowhere"), splits={"1": ["train"] * len(rows) + ["test"] * 2})
    least = min(sum(a for a, _ in sizes), sum(b for _, b in sizes))
    try:
        v = views(m, "few_shot", "1", seed, shots)
    except BenchError:
        assert shots + min(shots, 4) > least
        return
    assert shots + min(shots, 4) <= least
    assert per_class(m, v.train) == {"a": shots, "b": shots}
    assert per_class(m, v.val) == {"a": min(shots, 4), "b": min(shots, 4)}
    assert not set(v.train) & set(v.val)
    assert (v.selection == "validation on other groups") == (
        not groups(m, v.train) & groups(m, v.val)
    ) or "shares" in v.selection


# --- base to novel -----------------------------------------------------------------------------------------------

FIVE = ("jump", "run", "sit", "stand", "wave")


@pytest.mark.parametrize("seed", [1, 2])
def test_base_to_novel_learns_base_classes_and_tests_all(seed):
    m = manifest(classes=FIVE)
    v = views(m, "base_to_novel", "1", seed, 4)
    assert v.base == (0, 1, 2)  # equally frequent: the first, and of five the larger half
    assert per_class(m, v.train) == dict.fromkeys(FIVE[:3], 4)
    assert per_class(m, v.val) == dict.fromkeys(FIVE[:3], 4)
    assert v.test == views(m, "zero_shot", "1", 1).test and set(per_class(m, v.test)) == set(FIVE)
    assert v.num_pool == 6 * 5 * 4
    assert v.selection == "validation on other groups"
    assert not (groups(m, v.train) | groups(m, v.val)) & groups(m, v.test)


def test_base_classes_are_the_more_frequent_ones_of_the_training_side():
    m = manifest(classes=FIVE)
    train = m.rows["split:1"] == "train"
    rare = m.rows["label"].isin(["jump", "sit"]) & train & (m.rows.groupby("label").cumcount() < 3)
    rows = m.rows[~rare].reset_index(drop=True)
    more_in_test = rows[(rows["label"] == "jump") & (rows["split:1"] == "test")]
    rows = pd.concat([rows, *[more_in_test.assign(video_id=more_in_test["video_id"] + f"-{i}") for i in range(9)]])
    fewer = Manifest("mine", FIVE, rows.reset_index(drop=True))
    assert base_classes(fewer, "1") == (1, 3, 4)


def test_novel_classes_may_be_too_few_to_learn_from():
    m = manifest(classes=FIVE)
    rows = m.rows[~(m.rows["label"].isin(["stand", "wave"]) & (m.rows["split:1"] == "train"))].reset_index(drop=True)
    thin = Manifest("mine", FIVE, rows)
    with pytest.raises(BenchError, match="'stand' has only 0"):
        views(thin, "few_shot", "1", 1, 4)
    assert views(thin, "base_to_novel", "1", 1, 4).base == (0, 1, 2)


def test_base_to_novel_needs_four_classes_and_test_videos_of_both_kinds():
    with pytest.raises(BenchError, match="mine has 3 classes; base-to-novel needs 4 or more"):
        views(manifest(), "base_to_novel", "1", 1, 1)
    m = manifest(classes=FIVE)
    rows = m.rows[~(m.rows["label"].isin(["stand", "wave"]) & (m.rows["split:1"] == "test"))].reset_index(drop=True)
    with pytest.raises(BenchError, match="all test videos of split 1"):
        views(Manifest("mine", FIVE, rows), "base_to_novel", "1", 1, 1)


@pytest.mark.parametrize("protocol, shots", [("zero_shot", None), ("few_shot", 1), ("cross_subject", None)])
def test_the_pool_is_the_whole_training_side(protocol, shots):
    v = views(manifest(), protocol, "1", 1, shots)
    assert (v.num_pool, v.base) == (6 * 3 * 4, ())


def test_base_to_novel_validates_on_base_classes_of_a_published_part_too():
    m = manifest(classes=FIVE, val_groups=2)
    v = views(m, "base_to_novel", "1", 1, 4)
    assert v.selection == "published validation part"
    assert per_class(m, v.val) == per_class(m, v.train) == dict.fromkeys(FIVE[:3], 4)
