"""Records without what tells who made them and where: host names, absolute paths, the name of the user."""

from __future__ import annotations

import getpass
import io
import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench._inside import ROOT

PLACE, HOST, USER = "<path>", "<host>", "<user>"
FEWEST = 3  # letters of a name that is looked for in free text; a shorter one is found in ordinary words
ORDINARY = ("root", "user", "admin", "ubuntu", "localhost", "docker", "runner")  # tell nobody from anybody

_PART = r"[^\s/\\'\",:;()<>\[\]]"
# Two or more parts: `train/test` and `a / b` are no paths, and an address on the web is public.
_PATH = re.compile(rf"file://(?:/{_PART}*)+|(?<![\w./~])(?:(?:~|[A-Za-z]:)?[/\\](?:{_PART}+[/\\])+{_PART}*|~/{_PART}+)")
_FILE = re.compile(rf"(?<=[/\\]){_PART}+\.\w{{1,11}}$")

Secrets = Sequence[tuple[re.Pattern[str], str]]


def secrets_of(home: Path, record: Mapping[str, Any]) -> Secrets:
    """What to look for in a run's files: the folders and names that its record tells, and those of this machine."""
    spec, came = record.get("spec") or {}, record.get("provenance") or {}
    texts = [str(home), str(ROOT), str(Path.home()), spec.get("root"), *(spec.get("dataset_options") or {}).values()]
    texts += [part for name in ("backbone", "bank") for part in re.split("[:@]", str(spec.get(name) or ""))]
    folders = {str(text).rstrip("/") for text in texts if str(text).startswith(("/", "~")) and len(str(text)) > FEWEST}
    found = [
        (re.compile(rf"(?<!\w){re.escape(folder)}(?:[/\\]{_PART}*)*(?!\w)"), PLACE)
        for folder in sorted(folders, key=len, reverse=True)
    ]
    hosts = sorted({str(came.get("host") or ""), platform.node()}, key=len, reverse=True)
    hosts += [host.split(".")[0] for host in hosts]  # the short form too, after the whole one
    for name, shown in [*((host, HOST) for host in hosts), (_user(), USER)]:
        if name and len(name) >= FEWEST and name not in ORDINARY:
            found.append((re.compile(rf"(?<!\w){re.escape(name)}(?!\w)"), shown))
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def scrubbed(text: str, secrets: Secrets) -> str:
    """A text without these, and without any other absolute path; the name of a file, which has an ending, stays."""
    for pattern, shown in secrets:
        if shown == PLACE:
            text = pattern.sub(_named, text)
    text = _PATH.sub(_named, text)
    for pattern, shown in secrets:  # after the paths, which would fall apart where a name in them is replaced
        if shown != PLACE:
            text = pattern.sub(shown, text)
    return text


def _named(found: re.Match[str]) -> str:
    name = _FILE.search(found[0])
    return f"{PLACE}/{name[0]}" if name else PLACE


def without(content: bytes, secrets: Secrets) -> bytes:
    """A record (JSON) without what is private; the host is gone whole, and the root of the data set."""
    record = _walk(json.loads(content), secrets)
    if isinstance(record.get("provenance"), dict) and "host" in record["provenance"]:
        record["provenance"]["host"] = HOST
    if isinstance(record.get("spec"), dict) and record["spec"].get("root") is not None:
        record["spec"]["root"] = PLACE
    return json.dumps(record, indent=1).encode()


def _walk(value: Any, secrets: Secrets) -> Any:
    if isinstance(value, str):
        return scrubbed(value, secrets)
    if isinstance(value, list):
        return [_walk(v, secrets) for v in value]
    if isinstance(value, dict):
        return {k: _walk(v, secrets) for k, v in value.items()}
    return value


def without_in_predictions(content: bytes, secrets: Secrets) -> bytes:
    """Predictions whose reasons for undecodable videos tell no paths; the same bytes where none does."""
    with np.load(io.BytesIO(content), allow_pickle=False) as f:
        arrays = {name: f[name] for name in f.files}
    reasons = [scrubbed(text, secrets) for text in arrays["failed_reasons"].tolist()]
    if reasons == arrays["failed_reasons"].tolist():
        return content
    arrays["failed_reasons"] = np.array(reasons, dtype=np.str_)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()
