"""CONTRIBUTING's template in a package of its own: listed, checked, run; and what a package must not do."""

import os
import re
import subprocess
import sys

import pytest
import torch
from fakes import write_classes
from safetensors.torch import save_file
from torchvision.models import mobilenet_v3_small

import bench as kpbench
from bench import planning
from bench.plugins import ROOT

TEMPLATE = re.search(
    r"<!-- template:adapter -->\n```python\n(.*?)```\n<!-- /template -->",
    (ROOT / "CONTRIBUTING.md").read_text(),
    re.DOTALL,
)[1]
ENTRY_POINT = re.search(
    r'^\[project\.entry-points\."(kpbench\.adapters)"\]\n(\w+) = "(\w+\.\w+)"$',
    (ROOT / "CONTRIBUTING.md").read_text(),
    re.MULTILINE,
)


def install(folder, group, name, target, source, distribution="my_package"):
    """What pip leaves behind of a package with one module and one entry point, in a folder for the path."""
    package, module = target.split(".")
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").touch()
    (folder / package / f"{module}.py").write_text(source)
    about = folder / f"{distribution}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    return folder


@pytest.fixture(scope="module")
def weights():
    """Random, but with statistics of noise: with those that it starts with the model answers everything alike."""
    torch.manual_seed(0)
    model = mobilenet_v3_small(norm_layer=lambda width: torch.nn.BatchNorm2d(width, eps=0.001, momentum=1.0))
    model.train()(torch.randn(16, 3, 96, 96))
    return model.state_dict()


@pytest.fixture
def site(tmp_path, weights):
    """The template, installed as CONTRIBUTING says, with weights where it looks for them."""
    where = tmp_path / "bench_home" / "weights" / "my-encoder"
    where.mkdir(parents=True)
    save_file(weights, where / "model.safetensors")
    return install(tmp_path / "site", *ENTRY_POINT.groups(), TEMPLATE)


@pytest.fixture
def command(command):
    """It sees what lies on the path now."""
    planning.load_adapter.cache_clear()
    for name in [n for n in sys.modules if n.split(".")[0] in ("my_package", "rival")]:
        del sys.modules[name]
    return command


def in_a_process(site, *words):
    env = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "300"}
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, words)], cwd=ROOT, env=env, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_template_is_listed_and_runs_in_workers_without_an_edit_elsewhere(site, tmp_path):
    done = in_a_process(site, "list", "--kind", "adapters")
    assert done.returncode == 0, done.stderr
    assert re.search(r"my-encoder +MobileNetV3-small, my weights, trained on my videos", done.stdout)

    videos = write_classes(tmp_path / "videos", ("run", "wave"), per_class=6, num_frames=3)
    sweep = (
        "run --where local --workers 1 --dataset folder --seeds 1 --shots 2 --limit 5 --backbones my-encoder".split()
    )
    done = in_a_process(site, *sweep, "--root", videos, "--methods", "linear_probe,zero_shot")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = kpbench.results().drop_duplicates("run_id")
    assert set(runs["backbone"]) == {"my-encoder"}
    states = runs.groupby("method")["status"].agg(set).to_dict()
    assert states == {"linear_probe": {"complete"}, "zero_shot": {"n/a"}}
    assert "zero_shot needs text, which my-encoder does not have" in done.stdout


def test_the_template_keeps_the_contract(site, monkeypatch, command):
    monkeypatch.syspath_prepend(site)
    code, out, err = command("check-adapter", "my-encoder")
    assert code == 0, out + err
    assert out.startswith(
        "my-encoder: MobileNet, mobilenet_v3_small, 0.9 M parameters, 8 frames, embeddings of 576, with neither"
    )
    assert "weights: model.safetensors, sha256 " in out and "pre-training: my videos; licence: mine check" in out
    assert "video is independent ok" in out and "similarity is oriented n/a" in out and "it keeps the contract" in out


def test_without_its_weights_the_template_says_where_to_put_them(site, monkeypatch, command, tmp_path):
    monkeypatch.syspath_prepend(site)
    (tmp_path / "bench_home" / "weights" / "my-encoder" / "model.safetensors").unlink()
    code, out, err = command("check-adapter", "my-encoder")
    assert code == 2 and err.startswith("error: no weights of my-encoder: put its state dict into ")


BREACHES = {
    "normalised over the batch": (
        "return Features(frames.float()",
        "frames = frames - frames.mean(0)\n        return Features(frames.float()",
        "video is independent FAILED a video alone and among neighbours: differ by",
    ),
    "not frozen": (".eval().requires_grad_(False)", ".eval()", r"is frozen FAILED \d+ parameters require gradients"),
    "a transform that forgets": (
        "fit(torch.tensor(frames)",
        "fit(torch.tensor(frames[:1])",
        r"transform is own FAILED got torch.float32 \(1, 3, 224, 224\)",
    ),
    "another size": ("embed_dim=576", "embed_dim=512", r"video is independent FAILED .*576"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_of_the_contract_is_shown_with_what_was_seen_and_ends_with_1(
    breach, tmp_path, site, monkeypatch, command
):
    before, after, seen = BREACHES[breach]
    assert TEMPLATE.count(before) == 1
    (site / "my_package" / "my_encoder.py").write_text(TEMPLATE.replace(before, after))
    monkeypatch.syspath_prepend(site)
    code, out, err = command("check-adapter", "my-encoder")
    assert code == 1 and re.search(seen, out), out + err
    assert "checks failed" in out and "keeps the contract" not in out


def test_a_check_of_something_that_is_no_adapter_says_what_it_lacks(tmp_path, monkeypatch, command):
    source = 'MODELS, VERSION = {"hollow": ""}, 1\ndef load(name, device): return object()\n'
    monkeypatch.syspath_prepend(install(tmp_path / "site", "kpbench.adapters", "rival", "rival.one", source))
    code, out, err = command("check-adapter", "hollow")
    assert (
        code == 2
        and "what load('hollow') returns is no adapter: it lacks facts, module, transform, encode_video" in err
    )


# --- what a package must not do ----------------------------------------------------------------------------------

RIVAL = 'MODELS, VERSION = {"a-model": ""}, 1\ndef load(name, device): ...\n'
CONFLICTS = {
    "the name of a file of ours": (
        ("clip", "rival.one", RIVAL),
        "two plug-ins of the kind adapters are called 'clip': adapters.clip and rival.one (entry point of rival); rename or uninstall",
    ),
    "the name of a model of ours": (
        ("rival", "rival.one", RIVAL.replace("a-model", "tiny-clip")),
        "two adapters offer a model called 'tiny-clip': adapters.clip and rival.one; rename one",
    ),
    "a module that is not there": (
        ("rival", "rival.one", "import a_library_that_is_not_here\n"),
        "the plug-in rival.one of the kind adapters cannot be imported (ModuleNotFoundError: "
        "No module named 'a_library_that_is_not_here'); mend or remove it",
    ),
    "not what an adapter is": (
        ("rival", "rival.one", "VERSION = 1\n"),
        "rival.one is no plug-in of the kind adapters: it does not define MODELS, load (see CONTRIBUTING.md)",
    ),
}
COMMANDS = ("list --kind adapters", "check-adapter tiny-clip", "run --dataset toy --backbones tiny-clip --dry-run")


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("conflict", CONFLICTS)
def test_a_package_that_is_in_the_way_is_named_and_nothing_goes_on_without_a_word(
    conflict, words, tmp_path, monkeypatch, command
):
    (name, target, source), message = CONFLICTS[conflict]
    monkeypatch.syspath_prepend(install(tmp_path / "site", "kpbench.adapters", name, target, source, "rival"))
    code, out, err = command(*words.split())
    assert code == 2 and err.startswith(f"error: {message}"), out + err
    assert not list((tmp_path / "bench_home").rglob("*")), "nothing was begun"


def test_two_packages_with_one_model_are_both_named(site, tmp_path, monkeypatch, command):
    monkeypatch.syspath_prepend(site)
    source = RIVAL.replace("a-model", "my-encoder")
    monkeypatch.syspath_prepend(install(tmp_path / "other", "kpbench.adapters", "theirs", "rival.one", source, "rival"))
    code, out, err = command("list", "--kind", "adapters")
    assert code == 2
    assert re.search(
        r"two adapters offer a model called 'my-encoder': (rival.one and my_package.my_encoder|my_package.* and rival.one)",
        err,
    )
