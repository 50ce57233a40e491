"""Numbers on a slice of the toy set stay what they are until a VERSION is raised; then they are accepted on purpose.

Accept: `python -m pytest tests/integration/test_golden.py --accept-golden`, and say in CHANGELOG under Numbers what moved.
"""

import json
from pathlib import Path

import pytest
import small_recognizers

from bench import extraction, planning, plugins, runner, store
from bench.specs import RunSpec

GOLDEN = Path(__file__).parent.parent / "golden" / "toy.json"
TINY = [name for name in plugins.names("adapters") if name.startswith("tiny-")]
LIMIT = 6  # videos a class and side: enough for one shot and its validation video
TOLERANCE = 2e-3  # of the mean absolute logit; another CPU's kernels differ by less, another method by more
SHORT = {"epochs": 5}  # rounding that differs between CPUs grows with every step: after 60 of AdamW's by 3 % of a logit

CASES = {
    f"{backbone} {method} {protocol} {text}".strip(): (
        backbone,
        method,
        protocol,
        shots,
        {"text": text} if text else SHORT if method in ("coop", "knowledge_prompt") else {},
    )
    for backbone in TINY
    for method, protocol, shots, text in [
        ("majority", "cross_subject", None, ""),
        ("zero_shot", "zero_shot", None, "class_names"),
        ("zero_shot", "zero_shot", None, "templates"),
        ("zero_shot", "zero_shot", None, "descriptions"),
        ("linear_probe", "few_shot", 1, ""),
        ("coop", "few_shot", 1, ""),
        ("knowledge_prompt", "few_shot", 1, ""),
    ]
}
# Recognisers have backbones of their own; two classes of 400 mean one of the toy set's each.
TSM = f"mmaction2:{small_recognizers.TSM}"
SMALL = {"epochs": 1, "batch_size": 7, "resolution": 32, "frames": 2, "views": "one"}
MAP = {"label_map": str(GOLDEN.with_name("toy_label_map.csv")), "views": "one"}
CASES["tsm mmaction2_recognizer few_shot"] = (TSM, "mmaction2_recognizer", "few_shot", 1, SMALL)
CASES["tsm mmaction2_as_is zero_shot"] = (TSM, "mmaction2_as_is", "zero_shot", None, MAP)


def test_every_method_has_a_golden_case():
    assert {case[1] for case in CASES.values()} == set(plugins.names("methods"))


@pytest.fixture(scope="module")
def home(toy_workspace):
    return toy_workspace.parent  # the planner looks for rendered data in HOME/data


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.mmaction2) if CASES[name][0] == TSM else name for name in CASES]
)
def test_numbers_stay(name, home, request):
    backbone, method, protocol, shots, config = CASES[name]
    if method == "mmaction2_as_is":
        backbone = small_recognizers.weights(
            home / "tsm.safetensors"
        )  # it refuses weights that nobody trained or named
    spec = RunSpec(
        dataset="toy", backbone=backbone, method=method, protocol=protocol, shots=shots, config=config, limit=LIMIT
    )
    resolved = planning.resolve(spec, home)
    extraction.extract([resolved], home)
    runner.execute(resolved, home)
    logits = store.read_predictions(home, resolved.run_id).logits
    now = {
        "versions": {
            **dict(resolved.versions),
            "adapter": planning.load_adapter(backbone).facts.version,
            "weights": planning.load_adapter(backbone).facts.weights_sha256[:12],
        },
        "mean_abs_logit": float(abs(logits).mean()),
        "column_means": [float(v) for v in logits.mean(axis=0)],
    }
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if request.config.getoption("--accept-golden"):
        GOLDEN.write_text(json.dumps({**golden, name: now}, indent=1, sort_keys=True) + "\n")
        return
    assert name in golden, f"no golden numbers for {name}; {__doc__}"
    then = golden[name]
    if now["versions"] != then["versions"]:
        pytest.fail(
            f"VERSIONs moved from {then['versions']} to {now['versions']}: accept the new numbers on purpose. {__doc__}"
        )
    worst = (
        max(abs(a - b) for a, b in zip(now["column_means"], then["column_means"], strict=True)) / then["mean_abs_logit"]
    )
    assert worst < TOLERANCE, (
        f"{name}: logits moved by {worst:.2g} under the same VERSIONs; raise the one that changed. {__doc__}"
    )
