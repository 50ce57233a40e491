"""Banks in a line each, and a backbone to which a text is the sum of its words."""

import dataclasses

import torch
import torch.nn.functional as F
from fakes import FakeAdapter

from bench.knowledge.bank import Bank, Origin, Statement
from bench.knowledge.refine import Settings, refine

ORIGINS = {"me": Origin("me")}
DIM = 1024
OPEN = {"near_duplicate": 1, "min_margin": -2}  # nothing falls for where it stands


class Bag(FakeAdapter):
    """A text is the sum of its words' vectors: the same words in another order are the same text."""

    def __init__(self, **options):
        super().__init__(**options)
        self.facts = dataclasses.replace(self.facts, embed_dim=DIM)

    def encode_text(self, texts):
        return torch.stack([sum(map(vector, text.lower().replace(".", "").split())) for text in texts])


NUMBERS = {}


def vector(word):
    """Each word has an axis of its own."""
    return F.one_hot(torch.tensor(NUMBERS.setdefault(word, len(NUMBERS))), DIM).float()


def row(text, status="proposed", kind="motion", **more):
    return Statement(text, kind, "me", status, **more)


def bank(about="", **classes):
    """A bank of texts, or of whole statements."""
    made = {c: tuple(s if isinstance(s, Statement) else row(s) for s in rows) for c, rows in classes.items()}
    return Bank("mine", about, ORIGINS, made)


def fallen(refined):
    return [(f.class_name, f.number, f.rule) for f in refined.faults if f.fell]


def only(refined):
    (fault,) = refined.faults
    return fault


def judged(made, adapter=None, templates=("a video of {}",), class_names=None, **settings):
    return refine(made, adapter or Bag(), Settings(**{**OPEN, **settings}), class_names, templates)
