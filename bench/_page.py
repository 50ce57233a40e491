"""The report's one page: every table and picture of a rendering in a single file that needs nothing beside it."""

from __future__ import annotations

import base64
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import quote

import jinja2
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.contracts import Artifact

_PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
# The policy lets nothing be loaded and no script run, whatever a fragment holds.
_TEMPLATE = _PAGE.from_string("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kpbench report</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1a1a1a; }
section { margin: 2.5rem 0; overflow-x: auto; }
table { border-collapse: collapse; border-bottom: 2px solid; border-top: 2px solid; }
caption { text-align: left; padding: 0 0 .6rem; color: #444; }
th, td { padding: .2rem .8rem; text-align: left; }
tbody { border-top: 1px solid #888; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
ul { font-size: .85rem; color: #333; padding-left: 1.2rem; }
img { width: 100%; max-width: 36rem; }
pre { white-space: pre-wrap; }
</style>
</head>
<body>
<h1>kpbench report</h1>
{% if errors %}
<section class="errors">
<h2>Missing: what could not be rendered</h2>
<ul>
{% for name, reason in errors %}
<li><strong>{{ name }}</strong>: {{ reason }}</li>
{% endfor %}
</ul>
</section>
{% endif %}
{% for part in parts %}
{% if part.fragment is not none %}
{{ part.fragment }}
{% else %}
<section>
<h2>{{ part.title }}</h2>
{% if part.image %}
<img src="data:image/png;base64,{{ part.image }}" alt="{{ part.title }}">
{% else %}
<pre>{{ part.text }}</pre>
{% endif %}
</section>
{% endif %}
{% else %}
<p>There is nothing to show: no artifacts were rendered.</p>
{% endfor %}
<h2>Files</h2>
<ul>
{% for file in files %}
<li><a href="{{ file.href }}">{{ file.name }}</a></li>
{% endfor %}
</ul>
</body>
</html>
""")


def index_html(artifacts: Iterable[Artifact], errors: Mapping[str, str] | None = None) -> str:
    """One self-contained page: HTML fragments as they are, PNGs inside, Markdown where there is no fragment, and links.

    `errors` (plug-in -> why it has no artifacts) stand first.

    Titles, names and texts are escaped; an `.html` artifact is a fragment whose renderer has escaped it. The links are
    relative: they work where the page lies beside the artifacts.
    """
    found = list(artifacts)
    fragments = {PurePath(a.name).stem for a in found if a.name.endswith(".html")}
    parts = []
    for artifact in found:
        path, content = PurePath(artifact.name), artifact.content
        text = content.decode(errors="replace") if isinstance(content, bytes) else content
        part = {"title": artifact.title or path.stem, "fragment": None, "image": None, "text": text}
        if path.suffix == ".html":
            parts.append({**part, "fragment": Markup(text)})
        elif path.suffix == ".png" and isinstance(content, bytes):
            parts.append({**part, "image": base64.b64encode(content).decode()})
        elif path.suffix == ".md" and path.stem not in fragments:
            parts.append(part)
    files = [{"name": a.name, "href": quote(f"./{a.name}")} for a in found]
    return _TEMPLATE.render(parts=parts, files=files, errors=list((errors or {}).items()))
