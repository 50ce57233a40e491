"""The commands about knowledge banks: python -m bench knowledge COMMAND."""

from __future__ import annotations

import typer

from bench.cli import _knowledge_refine

app = typer.Typer(no_args_is_help=True, help="Collect, refine and review knowledge banks.", rich_markup_mode=None)
app.command("refine")(_knowledge_refine.refine)
app.command("show")(_knowledge_refine.show)
