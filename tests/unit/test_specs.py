import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from bench.contracts import BenchError
from bench.plugins import ROOT
from bench.specs import (
    FrameSpec,
    ResolvedRun,
    RunSpec,
    as_pairs,
    from_dict,
    resolved_from_dict,
    resolved_to_dict,
    to_dict,
)

SPEC = RunSpec(
    dataset="toy",
    backbone="tiny-clip",
    method="coop",
    protocol="few_shot",
    shots=4,
    split="2",
    seed=3,
    config=(("epochs", 5),),
    bank="toy",
    bank_control="shuffled",
    frames=FrameSpec(num_frames=8),
    limit=10,
    root="/data/mine",
    dataset_options=(("csv", "rows.csv"),),
)
RUN = ResolvedRun(
    spec=SPEC,
    manifest="m" * 16,
    backbone=SPEC.backbone,
    adapter="a" * 16,
    num_frames=8,
    bank="b" * 16,
    config=as_pairs({"learning_rate": 0.002, "epochs": 5, "layers": [1, 2], "text": "ä"}),
    versions=as_pairs({"method": 1, "protocol": 1, "dataset": 1}),
)


def test_the_run_id_of_a_run_stays_what_it_is():
    """If this turns red, every stored run is lost to its id: raise specs.SCHEMA, or take the change back."""
    assert RUN.run_id == "e6f97ebbde83"


def test_tuning_is_in_the_id_only_where_there_is_any():
    ids = {RUN.run_id}
    trial = {"evaluation": "validation"}
    study = {"study": "0123456789ab", "study_trials": 8}
    for change in (
        trial,
        trial | {"epoch_divisor": 3},
        trial | {"epoch_divisor": 9},
        study,
        study | {"study": "b" * 12},
    ):
        ids.add(replace(RUN, spec=replace(SPEC, **change)).run_id)
    assert len(ids) == 6
    assert not {"evaluation", "epoch_divisor", "study"} & set(RUN.identity())


@pytest.mark.parametrize(
    "values",
    [
        {"evaluation": "train"},
        {"epoch_divisor": 3},
        {"epoch_divisor": 0, "evaluation": "validation"},
        {"study": "0123456789ab"},
        {"study_trials": 8},
        {"study": "0123456789ab", "study_trials": -1},
    ],
)
def test_tuning_that_makes_no_sense_is_refused(values):
    with pytest.raises(BenchError, match="evaluation|epoch_divisor|study"):
        replace(SPEC, **values)


def test_the_run_id_is_the_same_in_another_process_with_another_hash_seed():
    code = "from tests.unit.test_specs import RUN; print(RUN.run_id)"
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        assert out.stdout.strip() == RUN.run_id, out.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"root": "/elsewhere"},
        {"root": None},
        {"dataset_options": (("csv", "other.csv"),)},
        {"limit": None},
        {"bank": "a.json"},
        {"backbone": "transformers:/data/tiny-clip"},
    ],
)
def test_where_the_data_lies_is_not_in_the_id_but_what_it_is(change):
    """Which rows and which sentences there are is in the digests of manifest and bank."""
    assert replace(RUN, spec=replace(SPEC, **change)).run_id == RUN.run_id


SPEC_CHANGES = {
    "dataset": "other",
    "method": "linear_probe",
    "shots": 5,
    "split": "1",
    "seed": 4,
    "bank_control": "none",
    "precision": "bf16",
    "compile": True,
}
RUN_CHANGES = {
    "backbone": "tiny-siglip",
    "manifest": "x" * 16,
    "adapter": "x" * 16,
    "num_frames": 9,
    "sampling": "clip/2",
    "bank": "x" * 16,
    "config": as_pairs({"learning_rate": 0.003, "epochs": 5, "layers": [1, 2], "text": "ä"}),
    "versions": as_pairs({"method": 2, "protocol": 1, "dataset": 1}),
}


def test_each_thing_that_matters_changes_the_id_to_one_of_its_own():
    changed = {name: replace(RUN, spec=replace(SPEC, **{name: value})) for name, value in SPEC_CHANGES.items()}
    changed |= {f"resolved {name}": replace(RUN, **{name: value}) for name, value in RUN_CHANGES.items()}
    changed["protocol"] = replace(RUN, spec=replace(SPEC, protocol="cross_subject", shots=None))
    changed["zero_shot"] = replace(RUN, spec=replace(SPEC, protocol="zero_shot", shots=None))
    changed["no bank"] = replace(RUN, bank=None)
    ids = {name: run.run_id for name, run in changed.items()} | {"": RUN.run_id}
    assert len(set(ids.values())) == len(ids), ids
    assert all(re.fullmatch("[0-9a-f]{12}", run_id) for run_id in ids.values())


def test_what_has_one_value_today_is_in_the_id_already(monkeypatch):
    """Tomorrow it has two, and today's runs must keep their ids apart from tomorrow's."""
    monkeypatch.setattr("bench.specs.DECODERS", ("pyav", "x"))
    spec = replace(SPEC, frames=replace(SPEC.frames, decoder="x"))
    assert replace(RUN, spec=spec).run_id != RUN.run_id


def test_a_run_without_a_bank_does_not_depend_on_the_control():
    a, b = (replace(RUN, bank=None, spec=replace(SPEC, bank_control=c)) for c in ("none", "shuffled"))
    assert a.run_id == b.run_id


def test_every_field_of_a_spec_was_thought_of():
    """A new field belongs either into the id (and into the lists above) or among those that say where the data lies."""
    elsewhere = {"root", "dataset_options", "limit", "bank", "config", "frames", "backbone", "protocol"}
    tuning = {"evaluation", "epoch_divisor", "study", "study_trials"}  # only where there is any: a test of its own
    assert set(to_dict(SPEC)) == set(SPEC_CHANGES) | elsewhere | tuning
    assert set(vars(RUN)) == set(RUN_CHANGES) | {"spec"}


def test_a_config_is_the_same_in_any_order_and_as_a_mapping():
    a = RunSpec(dataset="toy", backbone="b", method="m", config={"z": 1, "a": [1, 2]})
    assert a == RunSpec(dataset="toy", backbone="b", method="m", config=(("a", (1, 2)), ("z", 1)))
    assert hash(a)


@pytest.mark.parametrize("spec", [SPEC, RunSpec(dataset="toy", backbone="b", method="m")])
def test_a_spec_survives_json(spec):
    assert from_dict(json.loads(json.dumps(to_dict(spec)))) == spec


def test_a_planned_run_survives_json_and_keeps_its_id():
    back = resolved_from_dict(json.loads(json.dumps(resolved_to_dict(RUN))))
    assert back == RUN and back.run_id == RUN.run_id


def test_a_planned_run_of_another_schema_is_refused():
    with pytest.raises(BenchError, match="schema 7, this version reads schema 1; plan it again"):
        resolved_from_dict({**resolved_to_dict(RUN), "schema": 7})


def test_unknown_fields_are_one_error_that_lists_them_all_and_what_there_is():
    with pytest.raises(BenchError, match="no field sead, shotz; its fields are .*seed.*") as error:
        from_dict({**to_dict(SPEC), "shotz": 1, "sead": 2})
    assert "shots" in str(error.value)


def test_unknown_fields_of_frames_are_an_error_too():
    with pytest.raises(BenchError, match="frames .* no field fps, rate; its fields are num_frames"):
        from_dict({**to_dict(SPEC), "frames": {"fps": 3, "rate": 1}})


def test_a_spec_that_lacks_a_field_is_an_error():
    with pytest.raises(BenchError, match="backbone, method"):
        from_dict({"dataset": "toy"})


FAULTS = [
    ({"protocol": "one_shot"}, "unknown protocol 'one_shot'.*zero_shot, few_shot, cross_subject"),
    ({"protocol": "few_shot"}, "few_shot needs a number of training videos a class; say it with --shots"),
    ({"shots": 4}, "zero_shot takes no number of shots, and 4 are given"),
    ({"protocol": "few_shot", "shots": 0}, "shots is 0; it is at least 1"),
    ({"bank_control": "reversed"}, "unknown bank_control 'reversed'"),
    ({"precision": "float64"}, "unknown precision 'float64'"),
    ({"seed": -1}, "seed is -1"),
]


@pytest.mark.parametrize(("values", "said"), FAULTS)
def test_a_spec_that_makes_no_sense_is_an_error(values, said):
    with pytest.raises(BenchError, match=said):
        RunSpec(dataset="toy", backbone="b", method="m", **values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_frames": 0}, "num_frames is 0; it is at least 1"),
        ({"sampling": "random"}, "'random'"),
        ({"decoder": "decord"}, "'decord'"),
    ],
)
def test_frames_that_make_no_sense_are_an_error(values, said):
    with pytest.raises(BenchError, match=said):
        FrameSpec(**values)


def test_a_spec_cannot_be_changed():
    with pytest.raises(AttributeError):
        SPEC.seed = 9
