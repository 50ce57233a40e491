"""Every sweep yields distinct, valid specs for every data set, without torch."""

import dataclasses
import json
import subprocess
import sys

import pytest
from fake_results import FakeResults

from bench import plugins
from bench.contracts import Choice


@pytest.mark.parametrize("dataset", plugins.names("datasets"))
@pytest.mark.parametrize("name", plugins.names("sweeps"))
def test_sweeps_yield_distinct_specs(name, dataset):
    facts = plugins.find("datasets", dataset).DATASET
    choice = Choice(dataset=facts, backbones=("tiny-clip", "tiny-siglip"))
    specs = list(plugins.find("sweeps", name).runs(choice))
    # An ablation of the method has nothing to do without knowledge, and the command says so.
    assert specs or (facts.bank is None and name.startswith("ablation_"))
    assert len(set(specs)) == len(specs)
    for spec in specs:
        plugins.find("methods", spec.method)
        assert spec.dataset == dataset
        assert spec.shots is None or spec.shots in facts.shots
        assert facts.bank is not None or spec.method != "knowledge_prompt"


@pytest.mark.parametrize("name", plugins.names("sweeps"))
def test_the_choice_narrows(name):
    facts = plugins.find("datasets", "toy").DATASET
    how = {"num_frames": 5, "precision": "bf16", "compile": True}
    choice = Choice(dataset=facts, backbones=("tiny-clip",), methods=("coop",), seeds=(2,), shots=(4,), limit=9, **how)
    for spec in plugins.find("sweeps", name).runs(choice):
        assert (spec.backbone, spec.method, spec.seed, spec.shots, spec.limit) == ("tiny-clip", "coop", 2, 4, 9)
        assert (spec.frames.num_frames, spec.numerics) == (5, "bf16+compile")


@pytest.mark.parametrize("name", plugins.names("sweeps"))
def test_the_table_printed_after_a_sweep_shows_its_runs(name):
    sweep = plugins.find("sweeps", name)
    facts = plugins.find("datasets", "toy").DATASET
    results = FakeResults()
    for spec in sweep.runs(Choice(dataset=facts, backbones=("tiny-clip",), seeds=(1,))):
        parts = {"novel": (0.5, 0.5, 0.5)} if spec.protocol == "base_to_novel" else {}
        bank = {"bank": "toy", "bank_control": spec.bank_control} if spec.method == "knowledge_prompt" else {}
        told = f"{spec.method} {spec.config} {spec.bank_control}" if name.startswith("ablation_") else spec.method
        # Whole, as in a run's record: what a spec leaves out stands at the method's default.
        defaults = dataclasses.asdict(plugins.find("methods", spec.method).Config())
        config = json.dumps({**defaults, **dict(spec.config)})
        facts_of = {"needs_train": True, "is_default": not spec.config, "config": config, **bank, **parts}
        results.add(protocol=spec.protocol, shots=spec.shots, method=spec.method, label=told, **facts_of)
    shown = plugins.find("results", getattr(sweep, "TABLE", "backbones")).text(results)
    names = {"".join(row["label"].split()) for row in results.rows}
    assert all(any(name in cell for cell in _cells(shown)) for name in names) and "There are no" not in shown


def _cells(shown):
    """The texts of a terminal's tables, put together again where a name was wrapped, without white space."""
    rows = []
    for line in shown.splitlines():
        if line.startswith("|"):
            row = ["".join(cell.split()) for cell in line.strip("|").split("|")]
            if row[0] or not rows:
                rows.append(row)
            else:
                rows[-1] = [above + below for above, below in zip(rows[-1], row, strict=True)]
    return {cell for row in rows for cell in row}


def test_the_toy_set_gets_one_small_recogniser_unless_backbones_are_named():
    facts = plugins.find("datasets", "toy").DATASET
    plain = Choice(dataset=facts, backbones=("tiny-clip", "tiny-siglip"), named=False)
    sweep = plugins.find("sweeps", "leaderboard")

    def of(**changes):
        specs = sweep.runs(dataclasses.replace(plain, **changes))
        return [(s.backbone[:13], s.protocol, s.shots, s.seed) for s in specs if s.method == "mmaction2_recognizer"]

    assert of() == [("mmaction2:tsm", "few_shot", 4, 1)]
    assert of(seeds=(3, 4), shots=(1,)) == [("mmaction2:tsm", "few_shot", 1, 3)]
    for other in ({"named": True}, {"methods": ("coop",)}, {"num_frames": 4}, {"precision": "bf16"}):
        assert of(**other) == []
    other = plugins.find("datasets", "utkinect").DATASET
    assert of(dataset=other) == []


def test_a_users_settings_go_before_a_sweeps_own():
    facts = plugins.find("datasets", "toy").DATASET
    asked = (("coop", "epochs", 3), ("mmaction2_recognizer", "epochs", 9))
    choice = Choice(dataset=facts, backbones=("tiny-clip",), named=False, config=asked)
    for spec in plugins.find("sweeps", "leaderboard").runs(choice):
        told = dict(spec.config)
        assert told.get("epochs") == {"coop": 3, "mmaction2_recognizer": 9}.get(spec.method)
        assert spec.method != "mmaction2_recognizer" or told["resolution"] == 64


def test_sweeps_and_datasets_need_no_torch():
    code = (
        "import sys; from bench import plugins\n"
        "for kind in ('sweeps', 'datasets'):\n"
        "    for name in plugins.names(kind): plugins.find(kind, name)\n"
        "assert plugins.names('adapters')\n"
        "assert not {'torch', 'open_clip', 'transformers'} & set(sys.modules), 'torch came in'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=plugins.ROOT)


@pytest.mark.parametrize(
    ("sizes", "asked", "expected"),
    [((1, 4, 16), None, {4}), ((1, 2, 4), None, {4}), ((2, 8, 16), None, {8}), ((1, 4, 16), (1, 16), {1, 16})],
)
def test_ablations_are_made_at_one_size_in_the_middle(sizes, asked, expected):
    facts = dataclasses.replace(plugins.find("datasets", "toy").DATASET, shots=sizes)
    choice = Choice(dataset=facts, backbones=("tiny-clip",), shots=asked)
    for name in (name for name in plugins.names("sweeps") if name.startswith("ablation_")):
        specs = list(plugins.find("sweeps", name).runs(choice))
        assert {s.shots for s in specs} == expected and {s.seed for s in specs} == set(facts.replicates)
        assert plugins.find("sweeps", name).TABLE == "ablation"


def test_smoke_takes_the_seeds_and_shots_that_are_asked_for():
    choice = Choice(
        dataset=plugins.find("datasets", "toy").DATASET, backbones=("tiny-clip",), methods=("coop", "zero_shot")
    )
    plain, more = (
        list(plugins.find("sweeps", "smoke").runs(dataclasses.replace(choice, **asked)))
        for asked in ({}, {"seeds": (3, 4), "shots": (1, 4)})
    )
    few = [(s.seed, s.shots) for s in more if s.method == "coop"]
    assert few == [(3, 1), (4, 1), (3, 4), (4, 4)]
    assert [s for s in more if s.method == "zero_shot"] == [s for s in plain if s.method == "zero_shot"]
