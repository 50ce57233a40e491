"""Every table in every form stays what it is, to the letter, until it is accepted on purpose.

Accept: `python -m pytest tests/unit/test_golden_tables.py --accept-golden`, then look at what `git diff tests/golden/tables` shows.
"""

import io
import re
import shutil
from pathlib import Path, PurePath

import pandas as pd
import pytest
from golden_runs import CASES
from latex import compiled

from bench import plugins
from results import _plots

GOLDEN = Path(__file__).parent.parent / "golden" / "tables"
FORMS = (".md", ".csv", ".tex", ".html")


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Name of the case, and file name -> content of all that is text in its report."""
    results = CASES[request.param]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            _plots, "artifacts", lambda *figure: iter(())
        )  # pictures are other tests' and take most of the time
        made = [a for name in plugins.names("results") for a in plugins.find("results", name).render(results)]
    return request.param, {a.name: a.content for a in made if PurePath(a.name).suffix in FORMS}


def test_tables_stay_as_they_were_accepted(case, request):
    name, found = case
    folder = GOLDEN / name
    if request.config.getoption("--accept-golden"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, content in found.items():
            (folder / file).write_text(content)
    assert sorted(p.name for p in folder.glob("*")) == sorted(found)
    for file, content in found.items():
        golden = (folder / file).read_text()
        if file.endswith(".csv") and golden.strip():  # the last digits of a mean are the CPU's
            pd.testing.assert_frame_equal(_read(content), _read(golden), rtol=1e-9, atol=1e-12, obj=f"{name}/{file}")
        else:
            assert content == golden, f"{name}/{file} is not what was accepted; see this file's first lines"


def test_every_column_of_a_csv_is_documented(case):
    _, found = case
    text = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
    known = set(re.findall(r"`([^`]+)`", text))
    ends = [end for end in known if end.startswith("_")]
    known |= {f"{name}{end}" for name in ("base_top1", "novel_top1", "harmonic_mean") for end in ends}
    tables = [file for file in found if file.endswith(".csv") and file.replace(".csv", ".tex") in found]
    columns = {column for file in tables if len(_read(found[file])) for column in _read(found[file])}
    assert not {column for column in columns - known if not column.startswith("top1_")}


def _read(content):
    return pd.read_csv(io.StringIO(content), keep_default_na=False, na_values=[""])


def test_every_table_is_there_in_every_form(case):
    _, found = case
    tables = {PurePath(file).stem for file in found if file.endswith(".tex")}
    assert all(f"{table}{form}" in found for table in tables for form in FORMS)
    kinds = (
        "leaderboard",
        "backbones",
        "few-shot",
        "base-to-novel",
        "zero-shot",
        "ablation",
        "cost",
        "per-class",
        "tuning",
    )
    assert all(any(table.startswith(kind) for table in tables) for kind in kinds), tables


def test_every_case_says_what_it_lacks():
    def told(name, table):
        return (GOLDEN / name / f"{table}.md").read_text()

    for table in ("leaderboard", "backbones", "cost", "few-shot-table", "zero-shot", "base-to-novel", "ablation"):
        assert "There are no runs yet." in told("empty", table)
    assert "no run for seed 3" in told("missing_seed", "leaderboard")
    assert "RuntimeError: disk full" in told("failed_run", "leaderboard")
    assert "| failed" in told("failed_run", "leaderboard").replace("  ", "").replace("|failed", "| failed")
    assert "(2)" in told("failed_run", "leaderboard")


@pytest.mark.latex
def test_every_table_compiles_and_fits_the_page(tmp_path):
    bodies = [p.read_text() for p in [*sorted((GOLDEN / "paper").glob("*.tex")), GOLDEN / "tuned" / "tuning.tex"]]
    log, text = compiled(tmp_path, "\n\\clearpage\n".join(bodies))
    assert not [
        line for line in log.splitlines() if "Overfull" in line or "too large" in line or "Missing char" in line
    ]
    assert len(re.findall(r"Table \d+:", text)) == sum(body.count(r"\caption{") for body in bodies)


@pytest.mark.latex
def test_no_table_is_scaled_down_to_type_that_is_hard_to_read(tmp_path):
    bodies = [p.read_text() for p in [*sorted((GOLDEN / "paper").glob("*.tex")), GOLDEN / "tuned" / "tuning.tex"]]
    scaled = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    measured = "\n\\clearpage\n".join(bodies).replace(scaled, r"\measured{%")
    told = r"\newcommand{\measured}[1]{\sbox0{#1}\typeout{WIDTH \the\wd0}}"
    widths = [float(found) for found in re.findall(r"WIDTH ([\d.]+)pt", compiled(tmp_path, told + measured)[0])]
    assert len(widths) == sum(body.count(r"\begin{tabular}") for body in bodies)
    line = 5.5 * 72.27  # the width of a page of one column at most conferences; \\small is 9 point there
    assert all(9 * line / width >= 7 for width in widths), max(widths)
