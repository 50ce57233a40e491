"""Which settings mattered: the importance of each parameter that was tuned, one figure a data set, one panel a method."""

from __future__ import annotations

import functools
import math
import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.contracts import Artifact
from results import _looks, _plots, _studies, _tables
from results._data import TOY_SCALE, grouped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.contracts import ResultsView
    from bench.trials import Record, Trial
    from results._studies import Shown

TITLE = "Tuning importance"
MOST = 9  # places that can be told apart by a colour
FEWEST = 8  # trials below which an importance says nothing
BEST = 0.25  # of the trials, whose settings are held against those of all


def render(results: ResultsView) -> Iterator[Artifact]:
    """`tuning-importance-<data set>` as PNG, PDF, SVG and CSV; where no study tells any `tuning-importance.md` says why."""
    drawn = False
    for dataset, studies in grouped(_studies.shown(results), lambda s: s.dataset).items():
        frame = _points(studies)
        if frame.empty:
            continue
        name, title, drawn = f"tuning-importance-{_tables.slug(dataset)}", f"{TITLE}: {dataset}", True
        yield from _plots.artifacts(functools.partial(_draw, studies, frame), name, title)
        yield Artifact(f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"), title)
    if not drawn:
        why = f"no study has {FEWEST} trials with results that differ and more than one setting"
        yield Artifact("tuning-importance.md", f"## {TITLE}\n\nNothing to draw: {why}.\n", TITLE)


def importances(record: Record) -> dict[str, float]:
    """Parameter -> its share of the importance of all, in [0, 1], largest first; {} where too few trials tell any.

    PED-ANOVA (Watanabe et al., 2023): how far the distribution of a parameter among the best quarter of the trials is from that among
    all. A parameter that exists only beside certain others is judged by the trials that have it. Where trials were pruned, by what
    each reached after the shortest training, which all of them had.
    """
    rung = 0 if len(record.told["divisors"]) > 1 else -1
    scored = [t for t in record.trials if t.scores and t.state != "failed" and t.params]
    names = list(dict.fromkeys(name for t in scored for name in t.params))
    if len(scored) < FEWEST or len(names) < 2 or len({t.scores[rung] for t in scored}) < 2:
        return {}
    found = {name: _importance(scored, name, rung) for name in names}
    total = sum(found.values())
    if not total > 0:
        return {}
    return {name: found[name] / total for name in sorted(found, key=lambda name: (-found[name], name))}


def _importance(scored: Sequence[Trial], name: str, rung: int) -> float:
    """PED-ANOVA of one parameter; 0 where its trials are too few, or the best of them are not told apart."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    own = [t for t in scored if name in t.params]
    if len(own) < FEWEST or len({t.scores[rung] for t in own}) < 2:
        return 0.0
    study = optuna.create_study(direction="maximize", storage=None)
    for t in own:
        distribution = optuna.distributions.json_to_distribution(_json(t.distributions[name]))
        study.add_trial(
            optuna.trial.create_trial(
                params={name: t.params[name]}, distributions={name: distribution}, value=t.scores[rung]
            )
        )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(
        target_quantile=BEST, region_quantile=1.0, evaluate_on_local=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what is 0 by definition here
        value = float(evaluator.evaluate(study, params=[name])[name])
    return value if math.isfinite(value) else 0.0


def _json(distribution: Mapping[str, Any]) -> str:
    import json

    return json.dumps(distribution)


def _points(studies: Sequence[Shown]) -> pd.DataFrame:
    """One row a study and parameter."""
    rows = []
    for study in studies:
        num = sum(bool(t.scores) and t.state != "failed" for t in study.record.trials)
        for name, share in importances(study.record).items():
            rows.append({**study.facts, "parameter": name, "importance": share, "num_trials": num})
    return pd.DataFrame(rows)


def _draw(studies: Sequence[Shown], frame: pd.DataFrame) -> Figure:
    several = _studies.several_settings(studies)
    told = [s for s in studies if s.record.study_id in set(frame["study"])]
    places = list(dict.fromkeys(_studies.place_name(s, several) for s in told))
    looks = dict(zip(places, _place_looks(len(places)), strict=True))
    by_method = grouped(told, lambda s: s.method)
    small = _note(studies, told, frame)
    handles = [_plots.entry(place, linestyle="", **looks[place]) for place in places]
    titles = [part[0].name.split(" (study")[0] for part in by_method.values()]
    most = max(frame[frame["method"] == method]["parameter"].nunique() for method in by_method)
    extra = 0.25 + _plots.legend_height_in(handles) + _plots.note_height_in(small)
    figure, axes = _plots.panels(titles, 0.3 + 0.14 * most, extra, left_in=1.2, across=1, sharey=False)
    for ax, (method, part) in zip(axes, by_method.items(), strict=True):
        _panel(
            ax,
            frame[frame["method"] == method],
            [(s.record.study_id, looks[_studies.place_name(s, several)]) for s in part],
        )
    axes[-1].set_xlabel("share of the importance (%)")
    _plots.legend(figure, handles)
    _plots.note(figure, small)
    return figure


def _place_looks(num: int) -> list[dict[str, Any]]:
    return [
        {"color": _looks.COLOURS[i % MOST], "marker": _looks.MARKERS[i % MOST], "markersize": 3.6, "alpha": 0.85}
        for i in range(num)
    ]


def _panel(ax: Axes, frame: pd.DataFrame, studies: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """A line a parameter, the one that matters most on top; a marker a study."""
    means = frame.groupby("parameter")["importance"].mean()
    ordered = sorted(means.index, key=lambda name: (-means[name], name))
    height = {name: -i for i, name in enumerate(ordered)}
    for place, (study_id, look) in enumerate(studies):
        part = frame[frame["study"] == study_id]
        beside = 0.5 * (0.5 - (place + 0.5) / len(studies))  # equal shares stay visible
        ax.plot(
            100 * part["importance"],
            [height[name] + beside for name in part["parameter"]],
            linestyle="",
            clip_on=False,
            zorder=3,
            **look,
        )
    ax.set_yticks(list(height.values()), [_plots.cut_to(name, 6.5, 1.2) for name in ordered])
    ax.set_ylim(-len(ordered) + 0.4, 0.6)
    ax.set_xlim(0, 100)


def _note(studies: Sequence[Shown], told: Sequence[Shown], frame: pd.DataFrame) -> str:
    counts = sorted(set(frame["num_trials"]))
    trials = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    text = [
        f"PED-ANOVA over {trials} trials a study, best quarter against all: of few trials it is a hint and no more."
    ]
    if any(len(s.record.told["divisors"]) > 1 for s in told):
        text.append("Where trials were pruned: by the shortest training.")
    if left := len(studies) - len(told):
        text.append(
            f"Studies that tell none (under {FEWEST} trials, one setting, or results that do not differ): {left}."
        )
    toys = sorted({s.column[0] for s in told if s.record.columns["toy_scale"]})
    if toys:
        text.append(f"{TOY_SCALE[0].upper()}{TOY_SCALE[1:]}. They are: {', '.join(toys)}.")
    return " ".join(text)
