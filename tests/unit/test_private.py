"""What tells who made a run is taken out of its files, nothing else is, and what is left of it is found."""

import io
import json
import zlib
from pathlib import Path

import made_runs
import numpy as np
import pytest
from PIL import Image

from bench import _private, store

NOTHING = _private.Secrets((), (), {})
ROOT = "/data/secret/my videos"


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.setattr(_private.getpass, "getuser", lambda: "jane")
    monkeypatch.setattr(_private.platform, "node", lambda: "node17.uni")
    monkeypatch.setenv("HOME", "/home/jane")
    monkeypatch.chdir(tmp_path)


def known(*records, home=Path("/scratch/bench_home"), ordinary=_private.ORDINARY):
    return _private.secrets_of(home, records or [{}], ordinary)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("see /home/jim/a b/x.py", "see <path>/x.py"),
        ("'/opt/tools/run.sh' failed", "'<path>/run.sh' failed"),
        ("in ~/runs/out and C:\\Users\\jim\\x.mp4", "in <path> and <path>/x.mp4"),
        ("stay: train/test, 3/4, km/h, a / b, </td></tr>, a//b, x: / 3", None),
        ("a file:///home/jim/x", "a <path>"),
        ("/home/jim", "<path>"),
        ("moved /a/b to /c/d", "moved <path> to <path>"),
        ("open('/data/jim, j/a (1)/b [c] d.avi') no", "open('<path>') no"),
        ('"/data/jim\'s/x" and `~x/y z`', '"<path>" and `<path>`'),
        ("'root=/data/jim doe' '/jim'", "'root=<path>' '<path>'"),
        ("[/a/b, /c/d], (/a/b)", "[<path>, <path>], (<path>)"),
        ("~jim/data, ~jim, ../jim/x and ./jim", "<path>, <path>, <path> and <path>"),
        ("jim@node:/data/x, jim@node:x/y.csv", "<path>, <path>/y.csv"),
        ("s3://bucket/jim doe/x.mp4, https://jim.github.io", "<path>/x.mp4, <path>"),
        ("\\\\server\\share\\x and //server/share/x", "<path> and <path>"),
        ("transformers:/home/jim/model", "transformers:<path>"),
        ("/scratch/jim.doe is a folder", "<path> is a folder"),
        ("write to j.d+x@cs.uni.edu", "write to <mail>"),
        ("open_clip:ViT-B-32/laion2b@weights.pt and timm:vit.tag@mine.pt", None),
    ],
)
def test_paths_and_addresses_are_cut_and_other_texts_stay(text, shown):
    assert _private.scrubbed(text, NOTHING) == (shown or text)


def test_folders_that_are_known_are_cut_where_a_path_could_not_be_told(monkeypatch, tmp_path):
    (tmp_path / "working here").mkdir()
    monkeypatch.chdir(tmp_path / "working here")
    monkeypatch.setattr(_private, "ROOT", Path("/kpbench"))
    spec = {"root": "/videos", "dataset_options": {"annotations": "/lists"}, "bank": "/bank", "backbone": "timm:m@/w"}
    secrets = known({"spec": spec}, {"spec": {"root": "jim/videos"}}, home=Path("/bench_home"))
    folders = ("/videos", "jim/videos", "/lists", "/bank", "/w", str(Path.cwd()), "/bench_home", "/kpbench")
    for folder in folders:
        assert _private.scrubbed(f"no {folder} here", secrets) == "no <path> here"
    spaced = known({"spec": {"root": ROOT}})
    assert _private.scrubbed(f"in {ROOT} is nothing", spaced) == "in <path> is nothing"
    assert _private.scrubbed(f"{ROOT}/jim doe/clip 7.avi: broken", spaced) == "<path>: broken"
    assert _private.scrubbed("no /videos2, no.videos", secrets) == "no /videos2, no.videos"


def test_the_home_folder_is_cut_though_it_is_no_path_by_its_looks(monkeypatch):
    assert _private.scrubbed("no /janehome here", known()) == "no /janehome here"
    monkeypatch.setenv("HOME", "/janehome")
    assert _private.scrubbed("no /janehome here", known()) == "no <path> here"


def test_names_are_cut_as_words_and_stay_in_longer_ones():
    secrets = known({"provenance": {"host": "gpu-a.cs.uni"}})
    shown = _private.scrubbed("jane_runs run-jane2 janeRuns myJane JANE Janet", secrets)
    assert shown == "<user>_runs run-<user>2 <user>Runs my<user> <user> Janet"
    assert _private.scrubbed("node17.uni, node17, gpu-a.cs.uni, gpu-a", secrets) == "<host>, <host>, <host>, <host>"


def test_users_that_only_the_records_tell_are_known():
    record = {"reason": "/home/jim is full, ~kim too, scp lea@n:/x, C:\\Users\\max_m"}
    assert {"jim", "kim", "lea", "max_m"} <= known(record).names.keys()


@pytest.mark.parametrize("name", ["root", "main", "n1", "1000", "seconds", "Home"])
def test_names_that_are_short_or_ordinary_words_are_left_alone(name, monkeypatch):
    monkeypatch.setattr(_private.getpass, "getuser", lambda: name)
    monkeypatch.setattr(_private.platform, "node", lambda: name)
    ordinary = _private.ordinary_words(["def main(): jane", "main = 1"])
    record = {"columns": {"fit_seconds": 1}}
    text = f"{name} and {name}_x of /{name}"
    secrets = known(record, home=Path(f"/{name}"), ordinary=ordinary)
    assert name not in secrets.names and f"/{name}" not in secrets.telling
    assert _private.scrubbed(text, secrets) == f"{name} and {name}_x of <path>"
    assert _private.leak("code/x.py", text.encode(), secrets) is None


def test_a_name_of_the_letters_of_a_digest_is_no_word_between_digits(monkeypatch):
    monkeypatch.setattr(_private.getpass, "getuser", lambda: "ada")
    secrets = known()
    assert _private.scrubbed("ada 1ada9 9ada_x x_ada", secrets) == "<user> 1ada9 9ada_x x_<user>"


def cleaned(record, **more):
    return _private.without(record, known(record), {"video": {}, **more})


def test_a_command_tells_no_folder_whichever_way_it_is_given():
    words = ["/h/x/__main__.py", "run", "--root", "../jim/videos", "--root=jim", "--bank", "jim/my.json", "--dataset"]
    words += [
        "folder",
        "--option",
        "csv=lists/jim/all.csv",
        "--backbones",
        "tiny-clip,transformers:models/jim",
        "--root",
        "jim",
    ]
    shown = ["<path>/__main__.py", "run", "--root", "<path>", "--root=<path>", "--bank", "<path>/my.json", "--dataset"]
    shown += [
        "folder",
        "--option",
        "csv=<path>/all.csv",
        "--backbones",
        "tiny-clip,transformers:<path>",
        "--root",
        "<path>",
    ]
    assert cleaned({"provenance": {"command": words}})["provenance"]["command"] == shown


def test_what_a_record_says_of_place_and_code_is_cut_and_the_rest_stays():
    spec = {"root": "jim", "bank": "jim/bank.json", "backbone": "transformers:jim/model", "dataset": "folder"}
    spec |= {"dataset_options": {"csv": "lists/jim/x.csv", "group": "subject"}}
    columns = {"backbone": "open_clip:ViT-B-32/laion2b", "bank": "jim/bank.json", "seed": 1}
    record = {
        "spec": spec,
        "columns": columns,
        "provenance": {"git": "abc", "git_dirty": True, "host": "n1", "cpus": 2},
    }
    found = cleaned(record)
    wanted = {"root": "<path>", "bank": "<path>/bank.json", "backbone": "transformers:<path>", "dataset": "folder"}
    assert found["spec"] == wanted | {"dataset_options": {"csv": "<path>/x.csv", "group": "subject"}}
    assert found["columns"] == columns | {"bank": "<path>/bank.json"}
    assert found["provenance"] == {"git": "<commit>", "git_dirty": True, "host": "<host>", "cpus": 2}
    public = {"spec": {"backbone": "open_clip:ViT-B-32/laion2b", "root": None}, "columns": columns}
    assert cleaned(public)["spec"] == public["spec"]
    nothing = made_runs.record(provenance={"versions": {"numpy": "2.2"}})
    assert cleaned(nothing) == nothing


def test_keys_are_cut_and_stay_apart_and_videos_have_their_alias():
    undecodable = {"/a/b/x.avi": "no", "clip 7": "at /a/b", "jane 1": "no"}
    record = {"undecodable": undecodable, "more": [{"/a/b/x.avi": 1, "/c/d/x.avi": {"jane": "jane"}}]}
    found = cleaned(record, video={"/a/b/x.avi": "video-1", "jane 1": "video-2"})
    assert found["undecodable"] == {"video-1": "no", "clip 7": "at <path>", "video-2": "no"}
    assert found["more"] == [{"<path>/x.avi": 1, "<path>/x.avi 2": {"<user>": "<user>"}}]


def test_only_names_that_tell_something_are_numbered_and_no_two_become_one():
    videos = {"/home/jim/b.avi", "/home/jim/a.avi", "run/v1.avi", "video-1"}
    found = _private.aliases({"video": videos, "group": {"jane", "s1"}, "class": {"drink/eat"}}, known())
    assert found["video"] == {"/home/jim/a.avi": "the-video-1", "/home/jim/b.avi": "the-video-2"}
    assert found["group"] == {"jane": "group-1"} and found["class"] == {}


def test_predictions_keep_everything_but_the_names(tmp_path):
    ids = [f"/home/jim/{i}.avi" for i in range(12)]
    original = made_runs.predictions(1, video_ids=ids, groups=["jane", "s1"] * 6, failed={"/home/jim/x": "at /a/b"})
    path = store.write(tmp_path, "a1b2c3d4e5f6", made_runs.record(), original, {"top1": 0.5}) / "predictions.npz"
    names = {"video": {*ids, *original.failed}, "group": set(original.groups), "class": set(original.class_names)}
    secrets = known()
    aliases = _private.aliases(names, secrets)
    with np.load(io.BytesIO(_private.without_in_predictions(path.read_bytes(), secrets, aliases))) as f:
        found = {name: f[name].tolist() for name in f.files}
    assert found["video_ids"] == [aliases["video"][i] for i in ids] and len(set(found["video_ids"])) == 12
    assert found["groups"] == ["group-1", "s1"] * 6 and found["class_names"] == list(original.class_names)
    assert found["failed_ids"] == [aliases["video"]["/home/jim/x"]] and found["failed_reasons"] == ["at <path>"]
    assert found["logits"] == original.logits.tolist() and found["labels"] == original.labels.tolist()


def picture(kind, **about):
    from matplotlib.figure import Figure

    figure, out = Figure(figsize=(1, 1)), io.BytesIO()
    figure.subplots().plot([1, 2])
    figure.savefig(out, format=kind, metadata=about)
    return out.getvalue()


def npz(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize(
    "name, content",
    [
        ("report/a.csv", b"a,jane_runs\n"),
        ("report/jane.csv", b""),
        ("report/a.tex", b"in /data/secret/my videos"),
        ("report/a.html", b"<td>node17</td>"),
        ("a/run.json", json.dumps({"a": "ren\u00e9"}).encode()),
        ("a/predictions.npz", npz(groups=np.array(["s1", "jane"]))),
        ("report/a.svg", picture("svg", Creator="jane")),
        ("report/a.png", picture("png", Author="jane")),
        ("report/a.pdf", picture("pdf", Author="jane")),
    ],
)
def test_what_is_left_in_any_kind_of_file_is_found(name, content, monkeypatch):
    found = known({"spec": {"root": ROOT}, "reason": "/home/ren\u00e9"})
    assert _private.leak(name, content, found)


def test_letters_at_random_are_no_words():
    content = b'<img src="data:image/png;base64,AAAA+jane/BB\n+jane+="> stream jane endstream'
    assert _private.leak("a.html", content, known()) == "jane"
    assert _private.leak("a.html", content.partition(b" stream")[0], known()) is None
    assert _private.leak("a.pdf", b"<<>>\nstream\n" + zlib.compress(b"x") + b" jane \nendstream", known()) is None
    assert _private.leak("a.npz", npz(groups=np.array(["s1"])), known()) is None
    drawn, pixels = Image.frombytes("P", (6, 1), b" jane "), io.BytesIO()
    drawn.putpalette(bytes(range(256)) * 3)  # of one byte a pixel, which no filter changes
    drawn.save(pixels, "png", compress_level=0)
    assert b" jane " in pixels.getvalue() and _private.leak("a.png", pixels.getvalue(), known()) is None
    for kind in ("png", "pdf", "svg"):
        assert _private.leak(f"a.{kind}", picture(kind), known({"spec": {"root": ROOT}})) is None


def test_an_interpretation_calls_videos_and_classes_as_the_predictions_beside_it_do():
    called = {"video": {"/a/x.avi": "video-1"}, "group": {}, "class": {"jane dances": "class-1"}}
    video = {"video_id": "/a/x.avi", "class": "jane dances", "rival": "walk", "texts": ["as jane does"], "right": True}
    told = {"num_words": 3, "context": [{"class": "jane dances", "nearest": [["leg", 0.5]]}], "videos": [video]}
    found = _private.without(told, known(), called)
    assert found["context"] == [{"class": "class-1", "nearest": [["leg", 0.5]]}]
    assert found["videos"] == [
        {"video_id": "video-1", "class": "class-1", "rival": "walk", "texts": ["as <user> does"], "right": True}
    ]
