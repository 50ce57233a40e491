"""The commands about knowledge banks: python -m bench knowledge COMMAND."""

from __future__ import annotations

import typer

from bench.cli._knowledge_review import review

app = typer.Typer(no_args_is_help=True, help="Knowledge banks: decide on their statements.", rich_markup_mode=None)
app.command("review")(review)
