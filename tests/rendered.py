"""Plug-ins of a few words in the place of results/, and what they wrote."""

from bench.contracts import Artifact

A, B = "a1b2c3d4e5f6", "0123456789ab"


def table(name="t", text="one"):
    return lambda results: [Artifact(f"{name}.md", text, name), Artifact(f"{name}.csv", text)]


def broken(results):
    yield Artifact("half.md", "half of it")
    raise KeyError("<top9>")


def names(home):
    return sorted(p.name for p in (home / "report").iterdir())
