from __future__ import annotations

from dataclasses import dataclass

import pytest

from bench import plugins
from bench.contracts import BenchError, make_config


@dataclass(frozen=True, kw_only=True)
class Config:
    number: int = 1
    rate: float = 0.1
    name: str = "a"
    on: bool = False
    some: tuple[str, ...] = ()
    epochs: int | None = None
    released: bool | str = False


@pytest.mark.parametrize(
    "values",
    [
        {"rate": 1},
        {"rate": 0.5},
        {"number": 3, "name": ""},
        {"some": ("a",)},
        {"some": ["a"]},
        {"epochs": None},
        {"released": "x"},
    ],
)
def test_values_of_their_types_are_taken(values):
    assert all(getattr(make_config(Config, values, "m"), name) == value for name, value in values.items())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"number": "8"}, "m: number is '8'; it is a whole number"),
        ({"number": 1.5}, "number is 1.5; it is a whole number"),
        ({"number": True}, "number is True; it is a whole number"),
        ({"rate": "fast"}, "rate is 'fast'; it is a number"),
        ({"name": 3}, "name is 3; it is text"),
        ({"on": 1}, "on is 1; it is True or False"),
        ({"some": "a: b"}, "some is 'a: b'; it is a list"),
        ({"epochs": "x"}, "epochs is 'x'; it is a whole number or None"),
        ({"released": 1}, "released is 1; it is True or False or text"),
        ({"nmber": 1}, "m: unknown config nmber; it takes number, rate"),
    ],
)
def test_values_of_another_type_are_said(values, said):
    with pytest.raises(BenchError, match=said):
        make_config(Config, values, "m")


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_every_method_s_defaults_are_of_their_types(name):
    config = plugins.find("methods", name).Config
    assert make_config(config, {f: getattr(config(), f) for f in config.__dataclass_fields__}, name) == config()
