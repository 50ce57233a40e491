"""Refinement with a backbone's own texts, and of the banks that ship."""

import dataclasses

import pytest
import torch
from refining import fallen

from bench.knowledge import bank_names, load
from bench.knowledge.bank import parsed, written
from bench.knowledge.refine import Settings, refine

# --- with a backbone ---------------------------------------------------------------------------------------------


def proposed(made):
    """The bank as if nobody had decided on it."""
    classes = {c: tuple(dataclasses.replace(s, status="proposed") for s in rows) for c, rows in made.classes.items()}
    return dataclasses.replace(made, classes=classes)


@pytest.fixture(scope="module")
def tiny():
    from bench.planning import load_adapter

    return load_adapter("tiny-clip")


@pytest.mark.parametrize("more", [{}, {"keep": 2}, {"accept": True, "keep": 1}, {"near_duplicate": 0.8}])
def test_refining_a_refined_bank_changes_nothing(more, tiny):
    settings = Settings(num_context_tokens=8, **more)
    first = refine(proposed(load("toy")), tiny, settings)
    assert len({f.rule for f in first.faults}) >= 2, "else this test shows little"
    text = written(first.bank)
    second = refine(parsed(text, "x"), tiny, settings)
    assert fallen(second) == [] and written(second.bank) == text


# --- the banks that ship -----------------------------------------------------------------------------------------


class ClipLength:
    """A tiny backbone that cuts its texts as CLIP does: 77 tokens of the tokenizer that open_clip ships."""

    def __init__(self, tiny):
        from open_clip.tokenizer import SimpleTokenizer

        from adapters._text import BytePairs, tokenize

        self.facts = dataclasses.replace(tiny.facts, context_length=77)
        self.encode_text, self.embed_tokens, self.encode_embedded = tiny.encode_text, None, None
        pairs = BytePairs(SimpleTokenizer())
        self.tokenize = lambda texts, num=0: tokenize(pairs, texts, num, self.facts, torch.device("cpu"))


# (bank, class, number): why a statement of the origin "hand", which is not changed, has a fault.
KNOWN = {}


@pytest.mark.parametrize("name", bank_names())
def test_the_banks_that_ship_have_no_fault_that_depends_on_no_backbone(name, tiny):
    found = refine(load(name), ClipLength(tiny), Settings(near_duplicate=1, min_margin=-2))
    faults = {(name, f.class_name, f.number): f"{f.rule}: {f.reason}: {f.text}" for f in found.faults}
    assert {place: told for place, told in faults.items() if place not in KNOWN} == {}
    assert {place for place in KNOWN if place[0] == name} <= set(faults), "an exception that is none any more"
    for rows in found.bank.classes.values():
        kinds = [s.kind for s in rows if s.status in ("accepted", "edited")]
        assert kinds.count("appearance") >= 3 and kinds.count("motion") >= 3
