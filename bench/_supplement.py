"""The two files that an export brings beside runs, report and code: the program that renders, and what is what."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from bench import _private

RENDER = '''\
"""Write the report again from runs/: python render.py [FOLDER]. FOLDER is report/ beside this file unless given."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "code"))

from bench import reporting  # noqa: E402 - from the folder named above


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "report"
    rendered = reporting.write_into(HERE, folder)
    for name, reason in rendered.errors.items():
        print(f"not rendered: {name}: {reason}", file=sys.stderr)
    print(f"{len(rendered.files)} files in {folder}; {rendered.page} shows all of them")
    sys.exit(bool(rendered.errors))


if __name__ == "__main__":
    main()
'''

README = """\
Supplement: {num} runs of {datasets}

report/            the tables and plots; index.html shows all of them on one page
runs/AB/ABCDEF.../ one folder a run: run.json (spec, identity, versions, machine, cost), predictions.npz (logits, labels, video ids,
                   groups, class names, videos that could not be decoded and why), scores.csv (metrics computed from the
                   predictions), COMPLETE (how many videos); of a run without a result FAILED.json with the reason
code/              the part of the benchmark that renders a report; it needs no GPU and no deep-learning library
requirements.txt   the versions of the libraries that rendered report/
render.py          writes report/ again from runs/:

    python -m pip install -r requirements.txt
    python render.py

With these versions the report is written byte for byte as it is here (made with Python {python}; pictures need the same fonts,
matplotlib brings them). A number of a table is found in its CSV; a run's id in there is the name of its folder under runs/.

For a review that is double-blind these were taken out of run.json, FAILED.json and predictions.npz:
- paths, relative ones that begin with a dot too, and addresses (https://, s3://, user@host:): {place}, and behind it the name of a
  file; the folder of the data whole; in the command, the options of the data set and the name of a bank whatever has a / in it
- mail addresses: {mail}
- the names of hosts, {host}, and of users, {user}: of whoever exported, and those that the records themselves tell; not names of one or
  two letters, nor ordinary words, which several files of code/ use
- the commit of the code: {commit}
- logs, features, videos and lists of videos, none of which are here
{numbered}
Then everything here, texts of pictures too, was searched for those names and folders, and nothing was found.

Kept as they were: the rest of the spec, the config and the identity of a run; machine, GPU, processor count, versions of libraries and
run times; the names of data sets (of videos of one's own: the name of their folder); of classes, groups and videos (of videos of one's own:
their paths within that folder) those that are not numbered; code/, which goes along as it is. Run ids are the original ones: they are
hashes over settings and content, never over names of people, machines or folders.
"""


def readme(num: int, datasets: Sequence[str], aliases: Mapping[str, Mapping[str, str]]) -> str:
    """README.txt: what is what, what was taken out and what was kept."""
    counts = [
        f"{len(some)} {what}" for some, what in zip(aliases.values(), _private.KINDS.values(), strict=True) if some
    ]
    numbered = f"- {', '.join(counts)} told such things and were numbered, alike in all runs\n" if counts else ""
    return README.format(
        num=num,
        datasets=", ".join(datasets),
        python=".".join(map(str, sys.version_info[:3])),
        place=_private.PLACE,
        mail=_private.MAIL,
        host=_private.HOST,
        user=_private.USER,
        commit=_private.COMMIT,
        numbered=numbered,
    )
