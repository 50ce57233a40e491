"""The command line: python -m bench COMMAND. Thin: every command is one call into the modules below it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from bench._inside import check_packages
from bench.cli import backbones, cluster, importing, knowledge, look, power, published, records, run, tune
from bench.cli._common import err
from bench.contracts import BenchError

# A new command is a function in a module of this package and a line here; the help lists them in this order.
COMMANDS: dict[str, Callable[..., None]] = {
    "list": look.list_names,
    "run": run.run,
    "status": look.status,
    "cancel": cluster.cancel,
    "resume": cluster.resume,
    "logs": cluster.logs,
    "du": cluster.du,
    "gc": cluster.gc,
    "leaderboard": published.leaderboard,
    "published": published.published,
    "show": records.show,
    "rescore": records.rescore,
    "reproduce": records.reproduce,
    "test-videos": importing.test_videos,
    "import-predictions": importing.import_predictions,
    "export": records.export,
    "render": records.render,
    "index": records.index,
    "doctor": backbones.doctor,
    "check-adapter": backbones.check_adapter,
    "fetch": backbones.fetch,
    "tune": tune.tune,
    "power": power.power,
}

INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__, rich_markup_mode=None
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(knowledge.app, name="knowledge")


def main() -> None:
    """Run a command; bad input ends with one line that says what to do, and exit code 2."""
    try:
        check_packages()
        app()
    except BenchError as error:
        err.print(f"error: {error}")
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer makes this of Ctrl-C, without a word
            err.print("stopped; the same command goes on from here")
        raise
