"""Runs of the fake backbone on a folder of small videos."""

from fakes import plug_in

from bench.specs import RunSpec


def spec_of(videos, method="zero_shot", **more):
    return RunSpec(dataset="folder", root=str(videos), backbone="fake", method=method, **more)


def few_shot(videos, method, shots=2, **more):
    return spec_of(videos, method, protocol="few_shot", shots=shots, **more)


def method_of(monkeypatch, name, fit, needs=frozenset({"train"})):
    from baselines import majority

    plug_in(
        monkeypatch, "methods", name, Config=majority.Config, NEEDS=needs, TRAINABLE="head", VERSION=1,
        fit=fit, suggest=majority.suggest, describe=lambda config: name,
    )  # fmt: skip
    return name
