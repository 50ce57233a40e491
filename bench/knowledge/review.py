"""A local page on which a person accepts, edits or rejects each statement of a bank; the bank's file is all its state."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from bench.contracts import BenchError
from bench.knowledge import _decisions, _pictures
from bench.knowledge._decisions import ChangedSinceError, ConflictError, Done, Place, Snapshot
from bench.knowledge.bank import KINDS, Bank

if TYPE_CHECKING:
    from bench.manifest import Manifest

ADDRESS = "127.0.0.1"  # this machine alone, never another interface
MAX_REQUEST = 16 * 1024  # bytes; a decision has one statement
IDLE_S = 60  # after which a connection on which nothing comes is closed
FILES = Path(__file__).resolve().parent / "_review"
ACTIONS = ("accept", "reject", "edit")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass
class Desk:
    """One review of one file: what was decided in it, by `reviewer` where the page need not ask for a name."""

    path: Path
    reviewer: str = ""
    samples: Mapping[str, _pictures.Samples] = field(default_factory=dict)
    dataset: str = ""  # whose videos are shown; "" where there is none
    log: list[Done | None] = field(default_factory=list)  # None where it was undone
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def decide(self, version: str, place: Place, make: Callable[[Bank], Bank]) -> tuple[Snapshot, int]:
        """Save a decision; the file then, and the decision's number. Raises what `_decisions.change` raises."""
        with self._open():
            seen: list[Bank] = []

            def kept(bank: Bank) -> Bank:
                seen.append(bank)
                return make(bank)

            now = _decisions.change(self.path, version, kept)
            self.log.append(Done(place, _decisions.at(seen[0], place), _decisions.at(now.bank, place)))
            return now, len(self.log) - 1

    def undo(self, version: str, number: int) -> tuple[Snapshot, Place]:
        """Take a decision of this review back. Raises BenchError where there is none, or the statement was changed since."""
        with self._open():
            done = self.log[number] if 0 <= number < len(self.log) else None
            if done is None:
                raise ChangedSinceError("there is nothing to undo")
            now = _decisions.change(self.path, version, lambda bank: _decisions.undone(bank, done))
            self.log[number] = None
            return now, done.place

    def close(self) -> None:
        """Let a decision that is being saved finish, and take no more."""
        with self.lock:
            self.closed = True

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self.lock:
            if self.closed:
                raise BenchError("the review was ended in the terminal; start it again to go on")
            yield

    def told(self) -> str:
        """What was decided and is left, in a line."""
        kept = Counter(done.after.status for done in {d.place: d for d in self.log if d is not None}.values())
        parts = [f"{kept[status]} {status}" for status in ("accepted", "edited", "rejected") if kept[status]]
        decided = f"decided: {', '.join(parts) or 'nothing'}"
        try:
            bank = _decisions.snapshot(self.path).bank
        except BenchError as error:
            return f"{decided}; then the file was spoilt: {error}"
        left = sum(s.status == "proposed" for rows in bank.classes.values() for s in rows)
        return f"{decided}; undecided in {self.path.name}: {left}"


def open_desk(path: Path, reviewer: str = "", manifest: Manifest | None = None) -> Desk:
    """Look whether a bank can be reviewed.

    Args:
        reviewer: who decides; "" and the page asks.
        manifest: the data set whose videos are shown.

    Raises:
        BenchError: no bank there, a fault in it, or a data set that has none of its classes.
    """
    path = path.resolve()  # a link stays a link: what it points to is replaced
    bank = _decisions.snapshot(path).bank
    if reviewer:
        reviewer = _decisions.reviewer_named(reviewer)
    if manifest is None:
        return Desk(path, reviewer)
    found = _pictures.samples(manifest)
    if not set(found) & set(bank.classes):
        raise BenchError(
            f"the data set {manifest.dataset} has none of the classes of {path}: it has {_some(found)}; "
            f"the bank has {_some(bank.classes)}"
        )
    return Desk(path, reviewer, found, manifest.dataset)


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")


def create_app(desk: Desk, token: str, port: int) -> Flask:
    """The page and what it asks for. Nothing is answered without the token, or to another host or origin than this one."""
    app = Flask(__name__, static_folder=None, template_folder=str(FILES))
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST
    cookie = f"kpbench-review-{port}"  # cookies know no ports, and there may be two reviews
    hosts = (f"{ADDRESS}:{port}", f"localhost:{port}")
    names = list(desk.samples)

    @app.before_request
    def guard() -> None:
        # A foreign name that was made to lead here (DNS rebinding), or a foreign page that sends something (CSRF).
        if request.headers.get("Host") not in hosts:
            abort(403, "this host name is not the review's")
        origin = request.headers.get("Origin", "" if request.method in ("GET", "HEAD") else "none")
        if origin and origin not in [f"http://{host}" for host in hosts]:
            abort(403, "another page may not use the review")
        given = request.args.get("token", "") if request.path == "/" else ""
        if not any(_same(text, token) for text in (given, request.cookies.get(cookie, ""))):
            abort(403, "open the address that the command printed: it holds the key to this page")

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> tuple[dict[str, str], int]:
        return {"error": str(error.description)}, error.code or 500

    @app.errorhandler(ConflictError)
    def conflict(error: ConflictError) -> tuple[dict[str, Any], int]:
        return {"error": str(error), "bank": _state(desk, error.now, names)}, 409

    @app.errorhandler(ChangedSinceError)
    def gone(error: ChangedSinceError) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 410

    @app.errorhandler(BenchError)
    def fault(error: BenchError) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 422

    @app.get("/")
    def page() -> Response:
        response = Response(render_template("page.html", title=desk.path.name))
        response.set_cookie(cookie, token, httponly=True, samesite="Strict")
        return response

    for name, kind in (("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")):
        content = (FILES / name).read_bytes()
        app.get(f"/{name}", endpoint=name)(lambda content=content, kind=kind: Response(content, mimetype=kind))

    @app.get("/bank")
    def bank() -> dict[str, Any]:
        return _state(desk, _decisions.snapshot(desk.path), names)

    @app.get("/frames/<int:label>/<int:number>")
    def picture(label: int, number: int) -> Response:
        rows = desk.samples[names[label]].rows if label < len(names) else ()
        if number >= len(rows):
            abort(404, "there is no such video")
        return Response(_pictures.strip(rows[number]), mimetype="image/jpeg")

    @app.post("/decide")
    def decide() -> dict[str, Any]:
        asked = _asked({"version": str, "class": str, "number": int, "action": str, "reviewer": str})
        place, action = Place(asked["class"], asked["number"]), asked["action"]
        reviewer = desk.reviewer or _decisions.reviewer_named(asked["reviewer"])
        if action not in ACTIONS:
            raise BenchError(f"the action {action!r} is none of {', '.join(ACTIONS)}")
        if action == "edit":
            given = _asked({"text": str, "kind": str})
            make = partial(_decisions.edited, text=given["text"], kind=given["kind"])
        else:
            make = partial(_decisions.accepted if action == "accept" else _decisions.rejected)
        now, number = desk.decide(asked["version"], place, partial(make, place=place, reviewer=reviewer))
        return _answer(now, place) | {"undo": number}

    @app.post("/undo")
    def undo() -> dict[str, Any]:
        asked = _asked({"version": str, "undo": int})
        return _answer(*desk.undo(asked["version"], asked["undo"]))

    return app


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def _asked(fields: Mapping[str, type]) -> dict[str, Any]:
    """The request's JSON object, with these fields of these types. Anything else is answered with 400."""
    if request.mimetype != "application/json":
        abort(400, "a request is application/json")
    try:
        asked = json.loads(request.get_data())
    except (ValueError, RecursionError):
        abort(400, "the request is no JSON")
    if not isinstance(asked, dict) or any(type(asked.get(name)) is not kind for name, kind in fields.items()):
        abort(400, f"a request needs {', '.join(f'{name} ({kind.__name__})' for name, kind in fields.items())}")
    return asked


def _statement(bank: Bank, place: Place) -> dict[str, Any]:
    s = _decisions.at(bank, place)
    return {
        "text": s.text,
        "kind": s.kind,
        "origin": s.origin,
        "status": s.status,
        "scores": dict(s.scores),
        "reason": s.reason,
        "was": s.was,
        "confusable": s.nearest if s.nearest in bank.classes else "",
    }


def _origins(bank: Bank) -> dict[str, dict[str, str]]:
    return {name: {"by": o.by, "prompt": o.prompt} for name, o in bank.origins.items()}


def _answer(now: Snapshot, place: Place) -> dict[str, Any]:
    return {
        "version": now.version,
        "class": place.name,
        "number": place.number,
        "statement": _statement(now.bank, place),
        "origins": _origins(now.bank),
    }


def _state(desk: Desk, now: Snapshot, names: list[str]) -> dict[str, Any]:
    """All that the page shows; a class's pictures are asked for by `label` and a number below `count`."""
    classes = []
    for name, rows in now.bank.classes.items():
        found = desk.samples.get(name)
        frames = {"label": names.index(name), "count": len(found.rows), "side": found.side} if found else None
        statements = [_statement(now.bank, Place(name, number)) for number in range(len(rows))]
        classes.append({"name": name, "statements": statements, "frames": frames})
    return {
        "version": now.version,
        "file": desk.path.name,
        "dataset": desk.dataset,
        "reviewer": desk.reviewer,
        "kinds": KINDS,
        "origins": _origins(now.bank),
        "classes": classes,
    }


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: the address holds the token."""

    timeout = IDLE_S

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing: what fails inside the page's code is told by Flask."""


def serve(desk: Desk, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; `ready` is given its address once it answers.

    Raises:
        BenchError: the port cannot be had.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, port))
            listening.listen()
        except OSError as error:
            raise BenchError(
                f"port {port} cannot be had ({error.strerror}); give another, or leave --port out"
            ) from error
        port, token = listening.getsockname()[1], secrets.token_urlsafe()
        server = make_server(
            ADDRESS, port, create_app(desk, token, port), threaded=True, request_handler=_Quiet, fd=listening.fileno()
        )
        try:
            ready(f"http://{ADDRESS}:{port}/?token={token}")
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            server.server_close()
            desk.close()
