"""Plans are kept, and made anew when anything behind them changes."""

import pytest
from commands import CLASSES
from fakes import FakeAdapter, plug_in, write_classes, write_video
from folder_runs import spec_of

from bench import planning, plans, plugins
from bench.specs import RunSpec


@pytest.fixture
def planned(home, monkeypatch, videos):
    """Plans one spec as a new process would; says whether the kept plan was used."""
    monkeypatch.setattr(plugins, "outside", lambda kind: ())
    calls = []
    real = plans.resolve
    monkeypatch.setattr(plans, "resolve", lambda *a: calls.append(1) or real(*a))

    def plan(*specs):
        calls.clear()
        planning._built.clear()
        found = plans.plan(list(specs), home)
        return found, not calls

    return plan


def test_a_plan_is_kept_and_read_back_whole(planned, adapter, videos):
    first, kept = planned(spec_of(videos), spec_of(videos, "linear_probe", protocol="few_shot", shots=2))
    assert not kept
    assert planned(spec_of(videos), spec_of(videos, "linear_probe", protocol="few_shot", shots=2)) == (first, True)


@pytest.mark.parametrize(
    "changed", ["rows", "sources", "libraries", "weights", "linked weights", "bank", "order of roots"]
)
def test_a_plan_is_made_anew_when_anything_behind_it_changes(
    changed, planned, adapter, videos, bank, home, monkeypatch, tmp_path
):
    mine = write_classes(tmp_path / "mine", CLASSES, 6)
    specs = [spec_of(mine, config={"text": "descriptions"}, bank=bank())]
    if changed == "order of roots":
        specs = [spec_of(mine), spec_of(write_classes(tmp_path / "other", CLASSES, 7))]
    if changed == "linked weights":
        (tmp_path / "store").mkdir()
        (home / "weights").mkdir(parents=True)
        (home / "weights" / "fake").symlink_to(tmp_path / "store")
    planned(*specs)
    if changed == "linked weights":
        (tmp_path / "store" / "w.pt").touch()
    if changed == "rows":
        write_video(mine / "test" / "run" / "new.mp4", 4, first=9)
    if changed == "sources":
        monkeypatch.setattr(plans, "source_digest", lambda: "edited")
    if changed == "libraries":
        monkeypatch.setattr(plans, "versions", lambda: {"open_clip_torch": "99"})
    if changed == "weights":
        (home / "weights" / "fake").mkdir(parents=True)
        (home / "weights" / "fake" / "w.pt").touch()
    if changed == "bank":
        bank("went")
    if changed == "order of roots":
        mine.rename(tmp_path / "swap")
        (tmp_path / "other").rename(mine)
        (tmp_path / "swap").rename(tmp_path / "other")
    found, kept = planned(*specs)
    assert not kept
    assert [r.manifest for r in found] == [planning.build_manifest(s, home).digest for s in specs]


@pytest.fixture
def open_name(monkeypatch):
    """Names `mine:FOLDER`: the fake, called as the folder is."""
    plug_in(
        monkeypatch,
        "adapters",
        "mine",
        MODELS={},
        OPEN="mine:FOLDER",
        VERSION=1,
        load=lambda name, device: FakeAdapter(name=name.rpartition("/")[2]),
    )


def test_a_plan_is_made_anew_when_the_folder_of_an_open_name_changes(planned, open_name, videos, tmp_path):
    folder = tmp_path / "my-clip"
    folder.mkdir()
    (folder / "model.safetensors").write_text("a")
    of_folder = RunSpec(dataset="folder", root=str(videos), backbone=f"mine:{folder}", method="zero_shot")
    first, _ = planned(of_folder)
    assert planned(of_folder) == (first, True)
    (folder / "model.safetensors").write_text("another")
    assert not planned(of_folder)[1]


def test_where_the_folder_of_an_open_name_lies_is_not_in_the_id(open_name, videos, home, tmp_path):
    ids = {
        planning.resolve(
            RunSpec(dataset="folder", root=str(videos), backbone=f"mine:{place}/my-clip", method="zero_shot"), home
        ).run_id
        for place in ("/data", "/scratch")
    }
    assert len(ids) == 1
