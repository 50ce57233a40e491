"""Any text in Markdown, shown as it is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def plain(text: str) -> str:
    """One printable line: runs of white space and control characters become one space."""
    return " ".join(
        "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text).split()
    )


def escape_markdown(text: str) -> str:
    """Shown as written by CommonMark and GitHub, inside a table's cell too."""
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", plain(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def pipe_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, each escaped."""
    lines = [header, ["---"] * len(header), *([escape_markdown(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
