"""Bad input as users bring it: the error says what, where and what to do, the exit code is 2, and nothing is half-written."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from commands import bench
from fakes import plug_in_adapter, write_classes, write_video
from safetensors.torch import load_file, save_file

import bench as kpbench
from bench import index, store
from bench.plugins import ROOT
from bench.specs import RunSpec
from bench.stored_results import Results


@pytest.fixture
def home(tmp_path):
    return tmp_path / "bench_home"


@pytest.fixture
def adapter(monkeypatch):
    return plug_in_adapter(monkeypatch)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Two classes, three videos a side."""
    return write_classes(tmp_path_factory.mktemp("clean"), ("run", "wave"), 3)


@pytest.fixture
def root(clean, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(clean, tmp_path / "videos")


@pytest.fixture
def command(capsys, monkeypatch):
    return lambda *words: bench(capsys, monkeypatch, *words)


ZERO_SHOT = "run --where debug --sweep zero_shot --dataset folder --backbones fake --seeds 1".split()
FEW_SHOT = "run --where debug --dataset folder --backbones fake --seeds 1 --methods linear_probe".split()


def nothing_half_written(home):
    """No run, no table, no temporary file."""
    assert not list(home.rglob("*.tmp")) and not list(home.rglob(".*.tmp"))
    assert not (home / "runs").exists() and not (home / "report").exists() and not (home / "features").exists()


@pytest.fixture
def refused(command, home):
    """Check that a command is refused, in one message with all of these parts."""

    def check(words, *parts):
        code, out, err = command(*words)
        assert code == 2, (out, err)
        assert err.startswith("error: ") and "Traceback" not in err
        for part in parts:
            assert str(part) in err
        nothing_half_written(home)

    return check


# --- videos: recorded rows ---------------------------------------------------------------------------------------


def test_undecodable_videos_are_recorded_rows_and_the_others_count(root, home, adapter, command, shared_data):
    folder = root / "test" / "wave"
    shutil.copy(shared_data / "edge_videos" / "corrupted.mp4", folder / "corrupted.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("This is not a video.")
    write_video(folder / "one_frame.mp4", 1)
    (root / "train" / "run" / "empty.mp4").touch()

    code, out, err = command(*ZERO_SHOT, "--root", root)
    assert code == 0, err
    assert "7 videos encoded now, 0 were stored, 3 cannot be decoded" in out
    scores = kpbench.results()
    assert scores["num_test"].unique().tolist() == [7] and scores["num_failed"].unique().tolist() == [3]
    run_id = scores["run_id"].iloc[0]
    seen = Results(home).predictions(run_id)["video_id"].tolist()
    assert "test/wave/one_frame.mp4" in seen and not any("empty" in v or "text" in v or "corrupted" in v for v in seen)
    recorded = store.read_record(home, run_id)["undecodable"]
    assert set(recorded) == {f"test/wave/{n}.mp4" for n in ("corrupted", "empty", "text")}
    assert "broken after 28 frames" in recorded["test/wave/corrupted.mp4"]
    assert recorded["test/wave/empty.mp4"] == "the file is empty"
    assert "Invalid data" in recorded["test/wave/text.mp4"]
    table = (home / "report" / f"backbones-{root.name}.md").read_text()
    assert "undecodable test videos, recorded and in no score: 3" in table

    adapter.num_encoded = 0
    code, out, err = command(*FEW_SHOT, "--root", root, "--shots", "1")
    assert code == 0, err
    assert adapter.num_encoded <= 4, "what cannot be decoded is not tried again"


def test_where_no_video_can_be_decoded_the_run_fails_and_says_why(root, home, adapter, command):
    for path in root.rglob("*.mp4"):
        path.write_text(f"no video, {path.name}")
    code, out, err = command(*ZERO_SHOT, "--root", root)
    assert code == 1 and "none of the 6 videos can be decoded" in err and "Invalid data" in err


def test_undecodable_training_videos_are_counted_and_not_replaced(root, home, adapter, command):
    for path in (root / "train" / "run").glob("*.mp4"):
        path.write_bytes(b"")
    code, out, err = command(*FEW_SHOT, "--root", root, "--shots", "1")
    assert code == 1 and "linear_probe: 1 of 2 classes have no decodable training video" in err


# --- lists: refused ----------------------------------------------------------------------------------------------


@pytest.fixture
def csv(root):
    """Write a list of the videos, spoilt by a function of its lines."""

    def write(spoil=lambda lines: lines, text=None):
        lines = ["path,label,who,side"]
        for path in sorted(root.rglob("*.mp4")):
            side, label, name = path.relative_to(root).parts
            lines.append(f"{side}/{label}/{name},{label},{side}_{name[-5]},{side}")
        content = text if text is not None else "\n".join(spoil(lines)) + "\n"
        (root / "rows.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return ["--root", root, "--option", "csv=rows.csv", "--option", "group=who", "--option", "split=side"]

    return write


def test_the_list_that_the_faults_below_are_put_into_is_good(csv, adapter, command):
    code, out, err = command(*ZERO_SHOT, *csv())
    assert code == 0, err


LIST_FAULTS = {
    "a csv without its column": (
        lambda lines: [lines[0].replace("label", "class"), *lines[1:]],
        ["rows.csv has no column 'label'", "path, class, who, side", "--option label=COLUMN"],
    ),
    "duplicate video ids": (
        lambda lines: [*lines, lines[1]],
        ["1 video ids occur more than once", "test/run/test_run_0.mp4", "must be distinct"],
    ),
    "a group on both sides": (
        lambda lines: [*lines[:-1], lines[-1].replace("train_2,", "test_2,")],
        ["1 groups stand on both sides", "'test_2'", "not to both"],
    ),
    "a path that leaves the root": (
        lambda lines: [*lines, "../../etc/passwd,run,x,test"],
        ["'../../etc/passwd' leaves the root", "paths stay inside it"],
    ),
    "an unknown role": (
        lambda lines: [*lines[:-1], lines[-1].removesuffix("train") + "trian"],
        ["unknown role 'trian'", "train, val, test"],
    ),
    "a row too long": (lambda lines: [*lines, "a,b,c,d,e,f"], ["rows.csv is no readable csv", "saw 6"]),
    "every row too long": (
        lambda lines: [lines[0], *(f"{line}," for line in lines[1:])],
        ["rows.csv is no readable csv"],
    ),
    "only a header": (lambda lines: lines[:1], ["no videos"]),
}


@pytest.mark.parametrize("fault", LIST_FAULTS)
def test_a_fault_in_a_list_is_refused(fault, csv, adapter, refused):
    spoil, said = LIST_FAULTS[fault]
    refused([*ZERO_SHOT, *csv(spoil)], *said)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00\x01binary\x00", b'path,label\n"never closed'], ids=["empty", "binary", "cut"]
)
def test_a_list_that_is_no_csv_is_refused(content, csv, adapter, refused):
    refused([*ZERO_SHOT, *csv(text=content)], "rows.csv")


def test_a_label_that_is_not_in_the_class_list_is_refused(root, csv, adapter, refused):
    (root / "classes.txt").write_text("run\nwalk\n")
    words = [*ZERO_SHOT, *csv(), "--option", "classes=classes.txt"]
    refused(words, "6 rows have a label that is not in the class list: 'wave'", "the classes are run, walk")


def test_a_class_without_videos_is_refused(root, adapter, refused):
    (root / "test" / "jump").mkdir()
    refused([*ZERO_SHOT, "--root", root], "no videos for jump", "add some or take the class out")


def test_a_path_that_leaves_the_root_by_a_link_is_refused(root, tmp_path, adapter, refused):
    (root / "test" / "wave" / "link.mp4").symlink_to(write_video(tmp_path / "elsewhere.mp4", 4))
    refused([*ZERO_SHOT, "--root", root], "link.mp4' leaves the root")


WORDS = {
    "no root": ([], ["--root FOLDER"]),
    "a root that is not there": (["--root", "/nowhere/at/all"], ["/nowhere/at/all", "no such file or folder"]),
    "a root that is a file": (["--root", __file__], ["test_bad_input.py is a file", "give the folder"]),
    "a root without folders": (["--root", "EMPTY"], ["has no sub-directories"]),
    "an option that nobody knows": (
        ["--root", "ROOT", "--option", "cvs=x"],
        ["no option cvs", "csv (csv file inside the root"],
    ),
    "an option without a value": (["--root", "ROOT", "--option", "csv"], ["name=value", "'csv'"]),
    "a list that is not there": (["--root", "ROOT", "--option", "csv=no.csv"], ["there is no file", "no.csv"]),
    "a list out of the root": (["--root", "ROOT", "--option", "csv=../x.csv"], ["'../x.csv' leaves the root"]),
    "a limit of nothing": (["--root", "ROOT", "--limit", "0"], ["limit of 0", "give 1 or more"]),
    "seeds in words": (["--root", "ROOT", "--seeds", "one"], ["--seeds takes whole numbers", "'one'"]),
    "a negative seed": (["--root", "ROOT", "--sweep", "leaderboard", "--seeds", "-1", "--shots", "1"], ["seed is -1"]),
    "an unknown backbone": (
        ["--root", "ROOT", "--backbones", "tiny_clip"],
        ["unknown adapter 'tiny_clip'; did you mean", "tiny-clip"],
    ),
    "an unknown method": (
        ["--root", "ROOT", "--methods", "zeroshot"],
        ["unknown method 'zeroshot'; did you mean zero_shot"],
    ),
    "an unknown data set": (
        ["--root", "ROOT", "--dataset", "folders"],
        ["unknown dataset 'folders'; did you mean folder"],
    ),
    "an unknown sweep": (
        ["--root", "ROOT", "--sweep", "zeroshot"],
        ["unknown sweep 'zeroshot'; did you mean zero_shot"],
    ),
    "an unknown bank": (["--root", "ROOT", "--bank", "toys"], ["unknown knowledge bank 'toys'; did you mean toy"]),
    "a bank of other classes": (
        ["--root", "ROOT", "--bank", "toy"],
        ["knowledge bank toy has no accepted statement for the class 'run'"],
    ),
    "an unknown place": (["--root", "ROOT", "--where", "cloud"], ["unknown place 'cloud'"]),
    "no workers": (["--root", "ROOT", "--workers", "-1"], ["-1 workers do nothing; give 1 or more"]),
}


@pytest.mark.parametrize("fault", WORDS)
def test_words_that_make_no_sense_are_refused(fault, root, tmp_path, adapter, refused):
    words, said = WORDS[fault]
    (tmp_path / "empty").mkdir()
    places = {"ROOT": root, "EMPTY": tmp_path / "empty"}
    refused([*ZERO_SHOT, *(places.get(word, word) for word in words)], *said)


def test_more_shots_than_there_are_is_refused_with_the_most(root, adapter, refused):
    words = [*FEW_SHOT, "--root", root, "--shots", "4"]
    refused(
        words, "4 training and 4 validation videos", "'run' has only 3 in training", "the most shots it allows is 1"
    )


def test_an_unknown_model_is_an_error_from_python_too(root):
    with pytest.raises(kpbench.specs.BenchError, match="unknown adapter 'tiny-klip'; did you mean tiny-clip"):
        kpbench.run(RunSpec(dataset="folder", root=str(root), backbone="tiny-klip", method="zero_shot"))


# --- the home ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["run"], ["render"], ["index", "--rebuild"], ["tune", "--method", "coop"]])
def test_a_home_that_cannot_be_written_to_is_refused(words, tmp_path, command, monkeypatch):
    """Below a regular file nobody can write, root neither."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "file" / "home"))
    code, out, err = command(*words)
    assert code == 2 and f"BENCH_HOME is {tmp_path / 'file' / 'home'}, which cannot be written to" in err
    assert "set BENCH_HOME to a folder that can" in err
    assert (tmp_path / "file").read_text() == "in the way"


def test_the_exit_code_and_the_message_reach_the_shell(tmp_path):
    (tmp_path / "file").touch()
    env = {**os.environ, "BENCH_HOME": str(tmp_path / "file")}
    done = subprocess.run([sys.executable, "-m", "bench", "render"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"BENCH_HOME is {tmp_path / 'file'}, which" in done.stderr


@pytest.fixture
def one_run(root, adapter, command):
    code, _, err = command(*ZERO_SHOT, "--root", root)
    assert code == 0, err
    return kpbench.results()["run_id"].iloc[0]


@pytest.mark.parametrize("words", [["status"], ["render"], ["show"], ["run"]])
def test_a_run_folder_of_another_schema_is_refused(words, one_run, root, home, command):
    path = store.run_folder(home, one_run) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 0}))
    index.path(home).unlink()
    before = {p: p.read_bytes() for p in home.glob("runs/*/*/*")}
    words = {"show": ["show", one_run], "run": [*ZERO_SHOT, "--root", root]}.get(words[0], words)
    code, out, err = command(*words)
    assert code == 2, out
    assert (
        f"{path.parent} is a run folder of schema 0, this version reads schema 1" in err
        and "BENCH_HOME elsewhere" in err
    )
    assert {p: p.read_bytes() for p in home.glob("runs/*/*/*")} == before


@pytest.mark.parametrize("run_id", ["../../../etc", "xyz", "0" * 12])
def test_show_of_what_is_no_run_is_refused(run_id, command):
    code, _, err = command("show", run_id)
    assert code == 2 and run_id in err and "python -m bench status --runs lists" in err


def test_a_file_name_that_is_not_utf_8_is_refused(root, adapter, refused):
    video = next((root / "train" / "run").iterdir())
    video.rename(video.with_name(os.fsdecode(b"odd\xff.mp4")))
    refused([*ZERO_SHOT, "--root", root], "odd", "not valid UTF-8; rename it")


# --- weights -----------------------------------------------------------------------------------------------------

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


@pytest.fixture
def weights(home, monkeypatch):
    """A whole checkpoint for a real name, whose architecture is made tiny; its path."""
    import open_clip

    from adapters._open_clip import build

    monkeypatch.setattr(open_clip, "get_model_config", lambda name: TINY)
    path = home / "weights" / "clip-vit-b-32" / "model.safetensors"
    path.parent.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in build(TINY).state_dict().items()}, path)
    return path


def without(name):
    return lambda state: {k: v for k, v in state.items() if k != name}


CHECKPOINTS = {
    "a missing key": (
        without("visual.proj"),
        ["1 keys missing (visual.proj)", "0 unexpected", "nothing is loaded in part"],
    ),
    "a key too many": (
        lambda s: {**s, "extra.weight": torch.zeros(1)},
        ["1 unexpected (extra.weight)", "nothing is loaded in part"],
    ),
    "another shape": (
        lambda s: {**s, "visual.proj": torch.zeros(3, 3)},
        ["visual.proj is (3, 3), this architecture has (16, 8)"],
    ),
}
SPOILT = {"cut": lambda b: b[: len(b) // 2], "empty": lambda b: b"", "text": lambda b: b"<html>404 Not Found</html>"}
WITH_WEIGHTS = "run --where debug --sweep zero_shot --dataset folder --backbones clip-vit-b-32 --seeds 1".split()


@pytest.mark.parametrize("fault", CHECKPOINTS)
def test_a_checkpoint_that_does_not_fit_is_refused(fault, weights, root, refused):
    change, said = CHECKPOINTS[fault]
    save_file(change(load_file(weights)), weights)
    refused([*WITH_WEIGHTS, "--root", root], weights, *said)


@pytest.mark.parametrize("fault", SPOILT)
def test_a_checkpoint_that_cannot_be_read_is_refused(fault, weights, root, refused):
    weights.write_bytes(SPOILT[fault](weights.read_bytes()))
    refused([*WITH_WEIGHTS, "--root", root], weights, "not readable as weights", "get the file again")


class Evil:
    def __reduce__(self):
        return (print, ("this ran from inside a checkpoint",))


def test_a_checkpoint_that_holds_code_is_refused_and_the_code_does_not_run(weights, root, refused, capsys):
    weights.unlink()
    torch.save({"state_dict": {"x": Evil()}}, weights.with_suffix(".pt"))
    refused([*WITH_WEIGHTS, "--root", root], "model.pt", "asks for print", "nothing of it was run")
    assert "from inside" not in capsys.readouterr().out


def test_weights_that_are_not_there_are_asked_for(home, root, refused):
    refused(
        [*WITH_WEIGHTS, "--root", root],
        "no weights of clip-vit-b-32",
        home / "weights" / "clip-vit-b-32",
        "bench fetch clip-vit-b-32",
    )


def test_two_checkpoints_of_one_model_are_refused(weights, root, refused):
    shutil.copy(weights, weights.with_name("other.safetensors"))
    refused([*WITH_WEIGHTS, "--root", root], "holds 2 weight files (model.safetensors, other.safetensors); leave one")


def test_the_checkpoint_that_the_faults_above_are_put_into_is_good(weights, root, command):
    code, out, err = command(*WITH_WEIGHTS, "--root", root)
    assert code == 0, err
