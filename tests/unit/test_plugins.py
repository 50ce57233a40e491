import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from fakes import FakeAdapter, plug_in, plug_in_adapter

from bench import plugins
from bench.contracts import BenchError
from bench.plugins import FOLDERS, REQUIRED, ROOT, files, find, names
from bench.provenance import source_digest


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_file_of_a_folder_is_found_and_defines_what_its_kind_asks_for(kind):
    assert names(kind)
    for name in names(kind):
        module = find(kind, name)
        assert all(hasattr(module, attribute) for attribute in REQUIRED[kind])
    assert not any(name.startswith("_") for name in files(kind))


def test_names_are_what_the_folders_hold():
    for kind in ("methods", "datasets", "sweeps", "results"):
        folder = ROOT.joinpath(*FOLDERS[kind].split("."))
        assert names(kind) == tuple(sorted(p.stem for p in folder.glob("*.py") if p.name[0] != "_"))


def test_adapters_are_found_by_their_models():
    assert {"tiny-clip", "tiny-siglip", "clip-vit-b-16"} <= set(names("adapters"))
    assert find("adapters", "tiny-clip") is find("adapters", "clip-vit-b-16")


@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        ("adapters", "tiny_clip", "tiny-clip"),
        ("methods", "co_op", "coop"),
        ("datasets", "toys", "toy"),
        ("sweeps", "leaderbord", "leaderboard"),
    ],
)
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(kind, wrong, right):
    with pytest.raises(
        BenchError, match=rf"unknown {kind[:-1]} '{wrong}'; did you mean .*{right}.*\(all: python -m bench list\)"
    ):
        find(kind, wrong)


def test_a_name_that_is_like_none_is_answered_with_all_of_them():
    with pytest.raises(BenchError, match="unknown method 'qqqq'; known: coop, knowledge_prompt"):
        find("methods", "qqqq")


def test_an_unknown_kind_is_an_error_that_lists_them():
    with pytest.raises(
        BenchError, match="unknown kind 'models'; the kinds are adapters, methods, datasets, sweeps, results"
    ):
        names("models")


def test_a_plug_in_of_another_package_is_found_by_its_name(monkeypatch):
    module = plug_in(monkeypatch, "sweeps", "mine", runs=lambda choice: [])
    assert "mine" in names("sweeps") and find("sweeps", "mine") is module
    assert plugins.outside("sweeps") == ("mine",) and plugins.outside("results") == ()


@pytest.mark.parametrize("edited", ["plugged/__init__.py", "plugged/parts/bank.json", "alone.py", "lab/own/x.py"])
def test_the_digest_of_the_source_covers_packages_that_plug_ins_come_from(monkeypatch, tmp_path, edited):
    for name in ("plugged/__init__.py", "plugged/parts/bank.json", "alone.py", "beside.py", "lab/own/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a = 1\n")
    points = {"sweeps": ("plugged.sweep:x", "alone", "nowhere"), "methods": ("plugged", "lab.own.x")}
    found = {kind: tuple(EntryPoint(str(n), v, kind) for n, v in enumerate(some)) for kind, some in points.items()}
    monkeypatch.setattr(plugins, "_entry_points", lambda kind: found.get(kind, ()))
    monkeypatch.syspath_prepend(tmp_path)
    before = source_digest()
    (tmp_path / "beside.py").write_text("a = 2\n")
    assert source_digest() == before and "plugged" not in sys.modules
    (tmp_path / edited).write_text("a = 2\n")
    assert source_digest() != before


def test_a_plug_in_is_gone_with_its_package(monkeypatch):
    with monkeypatch.context() as patch:
        plug_in(patch, "sweeps", "mine", runs=lambda choice: [])
    assert "mine" not in names("sweeps")


def test_an_adapter_of_another_package_is_found_by_its_model(monkeypatch):
    adapter = plug_in_adapter(monkeypatch, FakeAdapter("my-model"))
    assert "my-model" in names("adapters")
    assert find("adapters", "my-model").load("my-model", "cpu") is adapter


def test_a_file_and_an_entry_point_of_one_name_are_an_error_that_names_both(monkeypatch):
    module = plug_in(monkeypatch, "methods", "coop")
    with pytest.raises(
        BenchError,
        match=rf"kind methods are called 'coop': baselines.coop and {module.__name__}.*rename or uninstall one",
    ):
        names("methods")


def test_two_entry_points_of_one_name_are_an_error(monkeypatch):
    for _ in range(2):
        plug_in(monkeypatch, "sweeps", "mine", runs=lambda choice: [])
    with pytest.raises(BenchError, match="called 'mine'"):
        find("sweeps", "mine")


def test_two_adapters_that_offer_one_model_are_an_error(monkeypatch):
    plug_in(monkeypatch, "adapters", "rival", MODELS={"tiny-clip": ""}, VERSION=1, load=None)
    with pytest.raises(
        BenchError, match="two adapters offer a model called 'tiny-clip': adapters.clip and fake_plug_in"
    ):
        names("adapters")


def test_a_plug_in_that_lacks_something_is_an_error_that_lists_it_all(monkeypatch):
    module = plug_in(monkeypatch, "methods", "half", Config=object, NEEDS=frozenset(), VERSION=1, fit=None)
    with pytest.raises(
        BenchError,
        match=f"{module.__name__} is no plug-in of the kind methods.* TRAINABLE, suggest, describe .*CONTRIBUTING",
    ):
        find("methods", "half")


def test_an_entry_point_that_cannot_be_imported_is_an_error_that_names_it(monkeypatch):
    module = plug_in(monkeypatch, "sweeps", "mine", runs=None)
    monkeypatch.setitem(sys.modules, module.__name__, None)
    with pytest.raises(BenchError, match=f"{module.__name__} of the kind sweeps cannot be imported"):
        find("sweeps", "mine")


def test_listing_and_planning_need_no_deep_learning_library():
    code = (
        "import sys; from bench import plugins\n"
        "for kind in plugins.FOLDERS: plugins.names(kind)\n"
        "for kind in ('datasets', 'sweeps', 'results'): [plugins.find(kind, n) for n in plugins.names(kind)]\n"
        "heavy = {'torch', 'torchvision', 'open_clip', 'transformers', 'timm', 'mmaction'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- open names -------------------------------------------------------------------------------------------------


def test_an_open_name_goes_to_the_file_in_front_of_the_colon(monkeypatch):
    mine = plug_in(monkeypatch, "adapters", "mine", MODELS={}, OPEN="mine:FOLDER", VERSION=1, load=lambda n, d: None)
    assert plugins.find("adapters", "mine:/data/x") is mine
    assert plugins.open_adapters()["mine"] == "mine:FOLDER"
    assert "mine:/data/x" not in plugins.names("adapters")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mien:/data/x", "unknown kind of backbone 'mien:'; did you mean mine:"),
        ("mine:", "names no model; write mine:FOLDER"),
        ("clip:ViT-B-16", "unknown kind of backbone 'clip:'"),
    ],
)
def test_an_open_name_that_leads_nowhere(monkeypatch, name, said):
    plug_in(monkeypatch, "adapters", "mine", MODELS={}, OPEN="mine:FOLDER", VERSION=1, load=lambda n, d: None)
    with pytest.raises(BenchError, match=said):
        plugins.find("adapters", name)


def test_paths_in_open_names_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "w.pt").touch()
    assert plugins.absolute("a:model") == f"a:{tmp_path}/model"
    assert plugins.absolute("a:ViT-B-16/openai@w.pt") == f"a:ViT-B-16/openai@{tmp_path}/w.pt"
    assert plugins.absolute("a:ViT-B-16/openai") == "a:ViT-B-16/openai"
    (tmp_path / "of@me").mkdir()
    assert plugins.absolute("a:of@me") == f"a:{tmp_path}/of@me"
    assert plugins.paths("a:of@me") == [tmp_path / "of@me"]
    assert plugins.paths("a:ViT-B-16/openai@w.pt") == [tmp_path / "w.pt"]
    for unfinished in ("a:", "a:vit@", "a:@"):
        assert plugins.absolute(unfinished) == unfinished and plugins.paths(unfinished) == []
    assert plugins.absolute("tiny-clip") == "tiny-clip"
