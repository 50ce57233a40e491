"""The policy of an export: what tells who made the runs and where, how it is taken out, and how it is looked for afterwards.

Paths and addresses are taken out whether they are known or not, all but the name of a file with an ending of `_ENDINGS`. A path may
have blanks in it: it ends late rather than early. Names of users and hosts are taken out as words, and a word ends at a digit, at any
sign, and before a capital (`jane_runs`, `run-jane2`, `janeRuns`). A name that is an ordinary word tells nobody from anybody and stays.
"""

from __future__ import annotations

import getpass
import io
import json
import platform
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench._inside import ROOT

PLACE, HOST, USER, MAIL, COMMIT = "<path>", "<host>", "<user>", "<mail>", "<commit>"
FEWEST = 3  # characters of a name that is looked for; a shorter one is found everywhere
ORDINARY = frozenset("root user users home admin ubuntu localhost docker runner path host mail commit".split())
KINDS = {"video": "ids of videos", "group": "names of groups", "class": "names of classes"}
# The arrays of predictions that hold names, and of what.
TOLD = {"video_id": "video", "class": "class", "rival": "class"}  # the same of an interpretation
ARRAYS = {"video_ids": "video", "failed_ids": "video", "groups": "group", "class_names": "class"}

_ENDINGS = (
    "avi mp4 mov mkv webm m4v mpg mpeg wmv skeleton npy npz csv json jsonl txt log md py ipynb sh sbatch yaml yml toml cfg "
    "gz tar zip pt pth bin ckpt safetensors png jpg pdf tex html"
).replace(" ", "|")
_FILE = re.compile(rf"(?<=[/\\])[\w.+-]+\.(?:{_ENDINGS})$")
_PART = r"[^\s/\\'\"`,;:()<>\[\]]"
_SEP = r"[/\\]+"
_ADDRESS = r"(?<![\w.+-])(?:[A-Za-z][\w+.-]*://|[\w.+-]+@[\w.-]+:)"  # s3://, user@host:
# What a separator follows may have blanks, commas and brackets in it, but neither ends a clause nor begins another path.
_LONG = rf"(?:[^\s/\\'\"`<>:;]|[:;](?!\s)|[^\S\n](?![(\[]*(?:[~/\\]|\.{{1,2}}[/\\]|[A-Za-z]:[/\\]|{_ADDRESS})))"
_REST = rf"(?:(?!\s){_LONG}+(?<!\s){_SEP})*(?:(?!\s){_LONG}*?\.(?:{_ENDINGS})(?![\w.])|{_PART}*)"
_START = rf"{_ADDRESS}|\\\\(?=\w)|(?<![\w.~/\\<])(?:(?:~|\.{{1,2}}|[A-Za-z]:){_SEP}|/+(?=(?!\s){_LONG}+(?<!\s){_SEP}))"
_HOME = r"(?<![\w/\\])~[A-Za-z][\w.-]*"  # ~jane
_QUOTED = (
    r"(?P<quote>['\"`])(?P<key>(?:[\w-]+[:=])??)"
    rf"(?P<quoted>(?:{_ADDRESS}|~[A-Za-z/\\]|/+[^\s/'\"`]|\.{{1,2}}{_SEP}|[A-Za-z]:{_SEP}|\\\\\w)(?:(?!(?P=quote)).)*)(?P=quote)"
)
# A model's own weights stand behind an @, which makes no mail address of it.
_MAIL = re.compile(r"(?:open_clip|timm):\S+|(?P<mail>(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+)")
_USERS = re.compile(r"(?:/home/|/Users/|\\Users\\+|(?<![\w/\\])~)([A-Za-z][\w.-]*)|([\w.+-]+)@[\w.-]+:")
_HUMP = r"(?<=[a-z])(?=[A-Z])"


@dataclass(frozen=True)
class Secrets:
    """`folders` and what each of `names` is replaced by; of `telling` folders a part is a name."""

    folders: tuple[str, ...]
    telling: tuple[str, ...]
    names: Mapping[str, str]

    @cached_property
    def paths(self) -> re.Pattern[str]:
        """Any path, quoted or not."""
        known = [rf"(?<![\w.~])(?:{_any(self.folders)})(?!\w)"] if self.folders else []
        homes = rf"(?:{'|'.join([*known, _HOME])})(?:{_SEP}{_REST})?"
        return re.compile(rf"{_QUOTED}|{homes}|(?:{_START})[/\\]*{_REST}")

    @cached_property
    def words(self) -> re.Pattern[str] | None:
        """Any of the names."""
        return re.compile("|".join(_word(name) for name in self.names)) if self.names else None

    @cached_property
    def places(self) -> re.Pattern[str] | None:
        """Any of the telling folders."""
        return re.compile(rf"(?<![\w.~])(?:{_any(self.telling)})(?!\w)") if self.telling else None


def _any(texts: Iterable[str]) -> str:
    return "|".join(map(re.escape, texts))


def _word(name: str) -> str:
    # In a digest, letters up to f are no word between digits.
    edge = r"[^\W_]" if re.fullmatch(r"[0-9a-f]+", name, re.IGNORECASE) else r"[^\W\d_]"
    return rf"(?:(?<!{edge})|{_HUMP})(?i:{re.escape(name)})(?:(?!{edge})|{_HUMP})"


def ordinary_words(texts: Iterable[str]) -> frozenset[str]:
    """Words in small letters that several of these texts use, and those of `ORDINARY`: no name is looked for that is one."""
    count = Counter(word for text in texts for word in set(re.findall(r"(?<![^\W\d_])[a-z]+(?![^\W\d_])", text)))
    return ORDINARY | {word for word, num in count.items() if num > 1}


def secrets_of(home: Path, records: Iterable[Mapping[str, Any]], ordinary: Collection[str]) -> Secrets:
    """The folders and names that the records tell, and those of whoever exports here and now."""
    here = {str(path) for given in (home, ROOT, Path.home(), Path.cwd()) for path in (given, given.resolve())}
    folders, users, hosts = set(here), {_user(), Path.home().name}, {platform.node()}
    own = set(ordinary)
    for record in records:
        spec, came, columns = (record.get(name) or {} for name in ("spec", "provenance", "columns"))
        own |= {word for some in (record, spec, came, columns) for key in some for word in key.split("_")}
        told = list((spec.get("dataset_options") or {}).values())
        told += [part for name in ("backbone", "bank") for part in re.split("[:@]", str(spec.get(name) or ""))]
        folders |= {str(text) for text in told if str(text).startswith(("/", "~"))}
        folders |= {text for text in (str(spec.get("root")),) if "/" in text}  # a relative one too
        users |= {a or b for a, b in _USERS.findall(json.dumps(record, ensure_ascii=False))}
        hosts.add(str(came.get("host") or ""))
    hosts |= {host.split(".")[0] for host in hosts}  # the short form too
    names = dict.fromkeys(users, USER) | dict.fromkeys(hosts, HOST)
    folders = {folder for text in folders if len(folder := text.rstrip("/")) > 1}
    return Secrets(
        tuple(sorted(folders, key=len, reverse=True)),
        tuple(f for f in sorted(folders) if any(_tells(part, own) for part in re.split(_SEP, f))),
        {name: names[name] for name in sorted(names, key=len, reverse=True) if _tells(name, own)},
    )


def _tells(name: str, ordinary: Collection[str]) -> bool:
    return len(name) >= FEWEST and not name.isdigit() and name.lower() not in ordinary


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


# --- out of it -------------------------------------------------------------------------------------------------------


def scrubbed(text: str, secrets: Secrets) -> str:
    """A text without paths, addresses and names."""
    text = secrets.paths.sub(_named, text)
    text = _MAIL.sub(lambda found: MAIL if found["mail"] else found[0], text)
    if secrets.words:  # after the paths, which would fall apart where a name in them is replaced
        text = secrets.words.sub(lambda found: secrets.names[_key(found[0], secrets.names)], text)
    return text


def _named(found: re.Match[str]) -> str:
    if found["quote"]:
        return f"{found['quote']}{found['key']}{_cut(found['quoted'])}{found['quote']}"
    return _cut(found[0])


def _cut(path: str) -> str:
    name = _FILE.search(path)
    return f"{PLACE}/{name[0]}" if name else PLACE


def _key(found: str, names: Iterable[str]) -> str:
    return next(name for name in names if name.lower() == found.lower())


def without(record: Mapping[str, Any], secrets: Secrets, aliases: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A record without what is private; videos are called by their `aliases`."""
    whole: dict[str, Any] = json.loads(json.dumps(record))
    spec, came = whole.get("spec") or {}, whole.get("provenance") or {}
    columns, options = whole.get("columns") or {}, spec.get("dataset_options") or {}
    for holder, names in ((spec, ("bank",)), (columns, ("bank",)), (options, list(options))):
        for name in names:
            if holder.get(name):
                holder[name] = _relative(str(holder[name]), secrets)
    # Other than the model's own name it is a folder or a file.
    if spec.get("backbone") and spec["backbone"] != columns.get("backbone"):
        spec["backbone"] = _relative(spec["backbone"], secrets)
    for holder, name, shown in ((spec, "root", PLACE), (came, "host", HOST), (came, "git", COMMIT)):
        if holder.get(name) is not None:
            holder[name] = shown
    if isinstance(came.get("command"), list):
        came["command"] = list(_command(map(str, came["command"]), secrets))
    if isinstance(whole.get("undecodable"), dict):
        called = aliases["video"]
        whole["undecodable"] = {called.get(k, k): v for k, v in whole["undecodable"].items()}
    for row in [*(whole.get("videos") or ()), *(whole.get("context") or ())]:  # what a method tells of itself
        row |= {key: aliases[kind].get(row[key], row[key]) for key, kind in TOLD.items() if key in row}
    found: dict[str, Any] = _walk(whole, secrets)
    return found


def _command(words: Iterable[str], secrets: Secrets) -> Iterator[str]:
    """The words of a command: a root may be any word, and whatever has a separator in it may be a path."""
    before = ""
    for word in words:
        if before == "--root":
            yield PLACE
        elif word.startswith("--root="):
            yield f"--root={PLACE}"
        else:
            yield _relative(word, secrets)
        before = word


def _relative(word: str, secrets: Secrets) -> str:
    """A word without a path, which may be a relative one; what stands before it (csv=, transformers:) stays."""
    word = scrubbed(word, secrets)
    found = re.match(r"([^/\\]*[=:,@])?[^/\\]*[/\\]", word)
    return word if found is None else f"{found[1] or ''}{_cut(word)}"


def _walk(value: Any, secrets: Secrets) -> Any:
    """Every text in it scrubbed, keys too; two keys that come out alike are numbered."""
    if isinstance(value, str):
        return scrubbed(value, secrets)
    if isinstance(value, list):
        return [_walk(v, secrets) for v in value]
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for key, v in value.items():
        name = wanted = scrubbed(key, secrets)
        number = 1
        while name in out:
            number += 1
            name = f"{wanted} {number}"
        out[name] = _walk(v, secrets)
    return out


def aliases(names: Mapping[str, Collection[str]], secrets: Secrets) -> dict[str, dict[str, str]]:
    """Kind ("video", "group", "class") -> name -> number, for the names that tell something private, in their order.

    They are numbered over all runs, so that what was joined by them still is. No number is a name that is there already.
    """
    out = {}
    for kind, known in names.items():
        telling = sorted(name for name in known if scrubbed(name, secrets) != name)
        prefix = f"{kind}-"
        while any(name.startswith(prefix) for name in known):
            prefix = f"the-{prefix}"
        out[kind] = {name: f"{prefix}{i}" for i, name in enumerate(telling, start=1)}
    return out


def without_in_predictions(content: bytes, secrets: Secrets, aliases: Mapping[str, Mapping[str, str]]) -> bytes:
    """Predictions whose names and reasons tell nothing private; the same bytes where none does."""
    with np.load(io.BytesIO(content), allow_pickle=False) as f:
        arrays = {name: f[name] for name in f.files}
    changed = dict(arrays)
    for name, kind in ARRAYS.items():
        changed[name] = np.array([aliases[kind].get(text, text) for text in arrays[name].tolist()], dtype=np.str_)
    reasons = [scrubbed(text, secrets) for text in arrays["failed_reasons"].tolist()]
    changed["failed_reasons"] = np.array(reasons, dtype=np.str_)
    if all(changed[name].tolist() == arrays[name].tolist() for name in (*ARRAYS, "failed_reasons")):
        return content
    out = io.BytesIO()
    np.savez(out, **changed)
    return out.getvalue()


# --- and is it? ------------------------------------------------------------------------------------------------------


def leak(name: str, content: bytes, secrets: Secrets) -> str | None:
    """What a file that goes out, or its own name, still tells of the secrets; None where it tells none.

    Of pictures what is written about them is searched; the words in them are looked for in their SVG.
    """
    text = f"{name}\n{_text(name, content)}"
    found = next((m for p in (secrets.places, secrets.words) if p is not None and (m := p.search(text))), None)
    return None if found is None else found[0]


def _text(name: str, content: bytes) -> str:
    """Everything in a file that somebody could read."""
    kind = name.rpartition(".")[2]
    if kind == "npz":
        with np.load(io.BytesIO(content), allow_pickle=False) as f:
            return "\n".join(text for n in f.files if f[n].dtype.kind == "U" for text in f[n].ravel().tolist())
    if kind == "png":
        from PIL import Image

        return "\n".join(map(str, Image.open(io.BytesIO(content)).info.values()))
    if kind == "json":
        return json.dumps(json.loads(content), ensure_ascii=False)
    if kind == "pdf":  # whose streams are compressed
        content = re.sub(rb"\bstream\r?\n.*?\bendstream\b", b"", content, flags=re.DOTALL)
    return re.sub(r"base64,[\sA-Za-z0-9+/=]+", "", content.decode(errors="replace"))  # letters at random
