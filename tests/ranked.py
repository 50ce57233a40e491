"""Results of methods on several data sets, made from their top-1 alone."""

from fake_results import COOP, FakeResults

from results import _ranks
from results._data import board

NASTY = ("<script>alert(1)</script>", "100%_&", r"put_on\textbf", "a|b $x$", "_two\nlines")


def made(scores, datasets=None, results=None, **facts):
    """Method -> its top-1 on each of the data sets: a number, a status without one, or None for no run."""
    results = results or FakeResults()
    for name, of_method in scores.items():
        for place, top1 in enumerate(of_method):
            dataset = datasets[place] if datasets else f"d{place + 1}"
            told = {**COOP, "label": name, "method": name, "bank": f"bank of {dataset}", "dataset": dataset, **facts}
            if isinstance(top1, str):
                results.add(status=top1, reason="for a reason", **told)
            elif top1 is not None:
                results.add([top1] * 3, per_group=20, **told)
    return results


def ordered(num_methods, num_datasets):
    """Methods that rank the same on every data set: a is the best."""
    return {chr(ord("a") + i): [round(0.9 - 0.05 * i, 2)] * num_datasets for i in range(num_methods)}


def groups(results):
    return _ranks.groups(board(results))
