"""What the table and the plots of tuning share: which studies belong beside each other, and what each is called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.contracts import shown_name
from results._keys import PROTOCOLS, column_name, protocol_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contracts import ResultsView
    from bench.trials import Record


@dataclass(frozen=True, eq=False)
class Shown:
    """A study and what it is called: `name` the method, with the study's id where it was tuned in one place several times."""

    record: Record
    name: str
    num_of_name: int  # which of the studies of this method in this place it is, from 0

    @property
    def method(self) -> str:
        return str(self.record.columns["method"])

    @property
    def dataset(self) -> str:
        return str(self.record.columns["dataset"])

    @property
    def setting(self) -> tuple[str, int]:
        """Protocol and shots, 0 where there are none."""
        return str(self.record.columns["protocol"]), int(self.record.columns["shots"] or 0)

    @property
    def column(self) -> tuple[str, int, int, str]:
        """Backbone, frames, views, precision."""
        return _column(self.record)

    @property
    def facts(self) -> dict[str, Any]:
        """How a line of a CSV begins."""
        protocol, shots = self.setting
        found = {"study": self.record.study_id, "dataset": self.dataset, "protocol": protocol, "shots": shots or None}
        backbone, frames, views, precision = self.column
        found |= {"backbone": backbone, "num_frames": frames, "num_views": views, "precision": precision}
        return found | {"method": self.method, "shown_as": self.name}


def shown(results: ResultsView) -> list[Shown]:
    """All studies by data set, protocol, column and method."""

    def place(record: Record) -> tuple[Any, ...]:
        told = record.columns
        protocol = str(told["protocol"])
        known = PROTOCOLS.index(protocol) if protocol in PROTOCOLS else len(PROTOCOLS)
        return told["dataset"], known, protocol, told["shots"] or 0, _column(record), told["method"]

    ordered = sorted(results.studies, key=lambda record: (place(record), record.budget, record.study_id))
    several, met = Counter(map(place, ordered)), Counter[tuple[Any, ...]]()
    found = []
    for record in ordered:
        here = place(record)
        more = f" (study {record.study_id[:6]})" if several[here] > 1 else ""
        found.append(Shown(record, _method_name(str(record.columns["label"])) + more, met[here]))
        met[here] += 1
    return found


def _column(record: Record) -> tuple[str, int, int, str]:
    told = record.columns
    backbone = shown_name(told["backbone"], told.get("pretraining"))
    return backbone, told["num_frames"], told["num_views"], told["precision"]


def _method_name(label: str) -> str:
    """A row's name as far as the first comma or bracket: the rest tells settings, which are what is tuned."""
    return label.split(",")[0].split(" [")[0]


def place_name(study: Shown, several_settings: bool) -> str:
    """A panel's title: the column, and the protocol where a figure has several."""
    return column_name(study.column) + (f", {protocol_name(*study.setting)}" if several_settings else "")


def several_settings(studies: Sequence[Shown]) -> bool:
    """Whether these studies are under more than one protocol or K."""
    return len({study.setting for study in studies}) > 1


def number(value: Any) -> str:
    """A setting's value, a float with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
