"""Getting weights from a hub: a small one on this machine that breaks, lies and lacks, as networks do."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
from huggingface_hub import constants

from adapters import _fetch, _weights
from adapters._cards import Card
from adapters._fetch import Wanted
from bench import plugins
from bench.contracts import BenchError

COMMIT = "c0ffee" + "0" * 34
LARGE = (".safetensors", ".bin")


class Hub(ThreadingHTTPServer):
    """Files by repository; large ones behind a redirect, as the real hub serves them. `seen` holds (method, path, Range)."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.seen = files, []
        self.cut_at = None  # bytes after which the connection breaks; from then on the hub is down
        self.down = False
        self.lies = ()  # files whose announced hash is another's
        self.mute = False  # announces no hash at all
        self.ranges = True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def got(self, file):
        return [
            found
            for method, path, found in self.seen
            if method == "GET" and path.startswith("/cdn") and path.endswith(file)
        ]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        hub = self.server
        hub.seen.append((self.command, self.path, self.headers.get("Range")))
        if hub.down:
            return self.reply(503)
        at = re.fullmatch(r"/(?:cdn/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        repository, revision, file = at.groups()
        if repository not in hub.files:
            return self.reply(404, {"X-Error-Code": "RepoNotFound"})
        content = hub.files[repository].get(file)
        if content is None or revision not in ("main", COMMIT):
            return self.reply(404, {"X-Error-Code": "EntryNotFound"})
        told = {"X-Repo-Commit": COMMIT}
        if file.endswith(LARGE) and not self.path.startswith("/cdn"):
            if not hub.mute:
                truth = hashlib.sha256(content if file not in hub.lies else b"another file").hexdigest()
                told |= {"X-Linked-ETag": f'"{truth}"', "X-Linked-Size": str(len(content))}
            return self.reply(302, {**told, "Location": f"http://localhost:{hub.server_port}/cdn{self.path}"})
        if not hub.mute:
            told["ETag"] = f'"{hashlib.sha1(b"blob %d" % len(content) + bytes(1) + content).hexdigest()}"'
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers.get("Range") else 0
        if start and hub.ranges:
            told["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.reply(206, told, content[start:] if body else None)
        else:
            self.reply(200, told, content if body else None, len(content))

    def reply(self, status, headers=(), content=None, length=None):
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(length if content is None and length else len(content or b"")))
        self.end_headers()
        hub = self.server
        if content and hub.cut_at is not None and len(content) > hub.cut_at:
            self.wfile.write(content[: hub.cut_at])
            hub.down = True
            self.close_connection = True
        elif content:
            self.wfile.write(content)


WEIGHTS = bytes(range(256)) * 64  # 16 KiB
REPOSITORY = "timm/ViT-B-16-SigLIP"


@pytest.fixture
def hub(monkeypatch):
    server = Hub(
        {
            REPOSITORY: {
                "open_clip_config.json": b"{}",
                "open_clip_model.safetensors": WEIGHTS,
                "tokenizer.json": b'{"version": "1.0"}',
                "tokenizer_config.json": b"{}",
            }
        }
    )
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the attempts of one call
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    huggingface_hub.close_session()
    yield server
    server.shutdown()
    server.server_close()
    huggingface_hub.close_session()


NAME = "siglip-vit-b-16"
FILE = "open_clip_model.safetensors"


def card():
    return plugins.find("adapters", NAME).MODELS[NAME]


def fetch(name=NAME):
    return plugins.find("adapters", name).fetch(name)


def nothing_is_taken_for_weights():
    with pytest.raises(BenchError, match=f"no weights of {NAME}"):
        _weights.locate(NAME, card())


def test_everything_that_a_machine_without_network_needs_is_got(hub):
    path = _weights.folder(NAME) / FILE
    assert fetch() == str(path) == str(_weights.locate(NAME, card()))
    assert path.read_bytes() == WEIGHTS
    assert {p.name for p in path.parent.iterdir()} == set(hub.files[REPOSITORY])
    entry = json.loads(_weights.lock_file().read_text())[NAME][FILE]
    assert entry["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert entry["source"] == f"{REPOSITORY}/{FILE}@{COMMIT}"
    assert [path for method, path, _ in hub.seen if method == "GET"][-1].endswith(
        FILE
    )  # last, so that it vouches for the rest
    hub.seen.clear()
    fetch()
    assert not [r for r in hub.seen if r[0] == "GET"]


def test_a_download_that_breaks_goes_on_where_it_stopped(hub):
    hub.cut_at = 5000
    with pytest.raises(BenchError, match=f"{FILE} of {NAME} could not be fetched.*goes on from where it stopped"):
        fetch()
    nothing_is_taken_for_weights()
    part = next(_weights.folder(NAME).glob(f".{FILE}.*.part")).stat().st_size
    assert 0 < part <= 5000
    hub.cut_at, hub.down = None, False
    hub.seen.clear()
    assert _weights.Path(fetch()).read_bytes() == WEIGHTS
    assert hub.got(FILE) == [f"bytes={part}-"]
    assert not list(_weights.folder(NAME).glob(".*.part"))


def test_a_hub_that_does_not_resume_sends_all_again(hub):
    hub.cut_at = 5000
    with pytest.raises(BenchError):
        fetch()
    hub.cut_at, hub.down, hub.ranges = None, False, False
    assert _weights.Path(fetch()).read_bytes() == WEIGHTS


def test_half_of_an_older_version_is_not_joined_to_the_new_one(hub):
    hub.cut_at = 5000
    with pytest.raises(BenchError):
        fetch()
    hub.cut_at, hub.down = None, False
    hub.files[REPOSITORY][FILE] = WEIGHTS[::-1]
    assert _weights.Path(fetch()).read_bytes() == WEIGHTS[::-1]
    assert hub.got(FILE)[-1] is None and not list(_weights.folder(NAME).glob(".*.part"))


@pytest.mark.parametrize("file", [FILE, "tokenizer.json"])
def test_other_bytes_than_announced_are_thrown_away(hub, file, monkeypatch):
    if file == FILE:
        hub.lies = (FILE,)
    else:
        monkeypatch.setattr(_fetch, "_announced", lambda *a: "1" * 40)
    with pytest.raises(BenchError, match=r"arrived with the hash \w+, the hub announces \w+; it was thrown away"):
        fetch()
    nothing_is_taken_for_weights()
    assert not list(_weights.folder(NAME).glob(".*.part"))
    assert not _weights.lock_file().exists()


def test_a_hub_that_announces_no_hash_is_not_believed(hub):
    hub.mute = True
    with pytest.raises(BenchError, match="announces no hash or size"):
        fetch()
    nothing_is_taken_for_weights()


def test_other_weights_under_the_old_name_are_not_taken_in_silence(hub):
    fetch()
    hub.files[REPOSITORY][FILE] = WEIGHTS[::-1]
    with pytest.raises(
        BenchError, match=f"other weights give other numbers.*remove the entry of {NAME} from .*lock.json"
    ):
        fetch()
    assert _weights.locate(NAME, card()).read_bytes() == WEIGHTS


def test_a_spoilt_file_is_got_again(hub):
    path = _weights.Path(fetch())
    path.write_bytes(WEIGHTS[:-1] + b"?")
    fetch()
    assert path.read_bytes() == WEIGHTS


def test_a_pin_is_held_against_the_hub_before_a_byte_is_sent(hub):
    with pytest.raises(BenchError, match="other weights give other numbers"):
        _fetch.get(NAME, _fetch.wanted(NAME, card()), "0" * 64)
    assert not hub.got(FILE)


def test_safetensors_come_first_and_the_pickle_where_there_are_none(hub):
    hub.files["laion/m"] = {"open_clip_pytorch_model.bin": b"pickle"}
    names = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    assert _fetch.get("m", [Wanted("laion/m", names)]).name == names[1]
    hub.files["laion/m"][names[0]] = b"tensors"
    _weights.lock_file().unlink()
    assert _fetch.get("m", [Wanted("laion/m", names)]).name == names[0]
    assert [p.name for p in _weights.folder("m").iterdir()] == [names[0]]


def test_what_the_hub_lacks_is_named(hub):
    with pytest.raises(BenchError, match="knows no repository nobody/nothing"):
        _fetch.get("m", [Wanted("nobody/nothing", ("a.safetensors",))])
    with pytest.raises(BenchError, match=f"{REPOSITORY} has no a.safetensors and no b.bin"):
        _fetch.get("m", [Wanted(REPOSITORY, ("a.safetensors", "b.bin"))])
    del hub.files[REPOSITORY]["tokenizer.json"]
    with pytest.raises(BenchError, match=f"{REPOSITORY} has no tokenizer.json"):
        fetch()
    nothing_is_taken_for_weights()


def test_a_file_of_ones_own_is_not_doubled(hub):
    path = _weights.folder(NAME) / "mine.pt"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(BenchError, match="already holds mine.pt; remove it"):
        fetch()
    assert not hub.seen


def test_no_network_is_said(hub, monkeypatch):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(BenchError, match="could not be fetched.*is there network here"):
        fetch()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    with pytest.raises(BenchError, match="HF_HUB_OFFLINE is set; unset it"):
        fetch()


def test_what_ships_with_the_project_is_not_fetched(hub):
    with pytest.raises(BenchError, match="tiny-clip ships with the project"):
        fetch("tiny-clip")
    with pytest.raises(BenchError, match="lies on this machine"):
        plugins.find("adapters", "open_clip:x").fetch(f"open_clip:{plugins.ROOT}")
    assert not hub.seen


def test_every_named_model_has_an_address():
    cards = {n: c for n in plugins.names("adapters") if isinstance(c := plugins.find("adapters", n).MODELS[n], Card)}
    for name, one in cards.items():
        *rest, weights = _fetch.wanted(name, one)
        assert "/" in weights.repository and weights.names[0].endswith(".safetensors"), name
        if one.library == "open_clip" and "iglip" in name:
            assert {"tokenizer.json", "tokenizer_config.json"} <= {n for w in rest for n in w.names if not w.optional}


def test_the_command_resumes_from_another_process(hub, tmp_path):
    """As a user would: a command whose connection breaks, and the same command again."""
    program = (
        "import huggingface_hub.constants as c; c.DOWNLOAD_CHUNK_SIZE = 1024\n"
        "import sys; sys.argv[0] = 'bench'; from bench.cli import main; main()"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}

    def command(*words):
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=plugins.ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    name = "open_clip:ViT-B-16-SigLIP/webli"
    hub.cut_at = 9000
    broken = command("fetch", name)
    assert broken.returncode == 2 and "goes on from where it stopped" in broken.stderr, broken.stderr
    with pytest.raises(BenchError, match="no weights of"):
        plugins.find("adapters", name).at_hand(name)
    hub.cut_at, hub.down = None, False
    hub.seen.clear()
    again = command("fetch", name)
    assert again.returncode == 0, again.stderr
    assert re.fullmatch(r"bytes=\d{4}-", hub.got(FILE)[0])
    path = plugins.find("adapters", name).at_hand(name)
    assert path in again.stdout and _weights.Path(path).read_bytes() == WEIGHTS
