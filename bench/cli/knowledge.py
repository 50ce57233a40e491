"""The commands about knowledge banks: python -m bench knowledge COMMAND."""

from __future__ import annotations

import typer

from bench.cli import _knowledge_collect, _knowledge_refine, _knowledge_review

app = typer.Typer(no_args_is_help=True, help="Collect, refine and review knowledge banks.", rich_markup_mode=None)
app.command("collect")(_knowledge_collect.collect)
app.command("refine")(_knowledge_refine.refine)
app.command("review")(_knowledge_review.review)
app.command("show")(_knowledge_refine.show)
