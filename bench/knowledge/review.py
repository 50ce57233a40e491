"""A local page on which a person accepts, edits or rejects each statement of a bank; the bank's file is all its state."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from bench.contracts import BenchError
from bench.knowledge import _decisions, _pictures
from bench.knowledge._decisions import ChangedSinceError, ConflictError, Place, Snapshot
from bench.knowledge.bank import KINDS, Bank

if TYPE_CHECKING:
    from bench.knowledge.desk import Desk

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
