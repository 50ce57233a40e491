"""Progress on the terminal: bars with counts, elapsed time and an estimate of what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from rich.console import Console


def bars(console: Console | None = None) -> Progress:
    """A display for any number of bars, on stdout unless another console is given; use it in a `with`."""
    return Progress(
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        refresh_per_second=4,
        console=console,
    )


def reporter(display: Progress) -> Callable[[str, int, int], None]:
    """A callback (what, done, total) that gives each `what` a bar of its own."""
    tasks: dict[str, TaskID] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = display.add_task(what, total=total)
        display.update(tasks[what], completed=done, total=total)

    return report


@dataclass
class Those:
    """A bar for each of some things that come and go, below the others."""

    display: Progress
    most: int = 8
    _tasks: dict[str, TaskID] = field(default_factory=dict)

    def show(self, things: Iterable[tuple[str, str, float, int]]) -> None:
        """Those that there are now: name, what is said of it, how much is done, and of how much. Others' bars go."""
        there = {name: (said, done, total) for name, said, done, total in things}
        for name in self._tasks.keys() - there.keys():
            self.display.remove_task(self._tasks.pop(name))
        for name, (said, done, total) in there.items():
            if name not in self._tasks and len(self._tasks) < self.most:
                self._tasks[name] = self.display.add_task(name, total=total)
            if name in self._tasks:
                self.display.update(self._tasks[name], description=f"{name} {said}".rstrip(), completed=done)
