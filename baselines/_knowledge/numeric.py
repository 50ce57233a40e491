"""The numerical channel: numbers of the training videos as directions of text, for a loss in training only.

Each numeric column has a pair of antonyms, two texts for its least and its greatest value; a video's value is a point on the arc
between their embeddings. Where the text of a class lies must then tell the class of such a point. After GaVA-CLIP's numerical text
embeddings and memory loss. Shape legend: N videos, J columns, D joint size, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines._knowledge.initial import drawn
from bench.contracts import Adapter, BenchError, NotApplicable

SPEED = "speed_"
KNOWN = {  # gait parameters under their usual names
    "walking_speed": ("slow walking", "fast walking"),
    "cadence": ("few steps a minute", "many steps a minute"),
    "step_length": ("short steps", "long steps"),
    "stride_length": ("short strides", "long strides"),
    "step_width": ("feet close together", "feet far apart"),
    "step_time": ("quick steps", "slow steps"),
    "arm_swing": ("hardly any swing of the arms", "a wide swing of the arms"),
}
HIDDEN, OUT, SCALE = 128, 64, 100.0


def known_pair(column: str) -> tuple[str, str] | None:
    """The antonyms of a column that this project knows: joint speeds and gait parameters; None for any other."""
    if column.startswith(SPEED):
        limb = column.removeprefix(SPEED).replace("_", " ")
        return f"the {limb} moves slowly", f"the {limb} moves fast"
    return KNOWN.get(column)


def pairs(columns: Sequence[str], given: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Column -> its two texts, of those `given` as "column: low | high", or of those known where none is given.

    Raises:
        BenchError: a pair that is not written so, of a column that is not there, or of one that has a pair already.
        NotApplicable: no column of this data set has a pair.
    """
    told = {}
    for line in given:
        name, colon, texts = line.partition(":")
        ends = [part.strip() for part in texts.split("|")]
        if not colon or len(ends) != 2 or not all(ends):
            raise BenchError(f"antonyms: {line!r} is not written 'column: low text | high text'")
        if ends[0].casefold() == ends[1].casefold():
            raise BenchError(
                f"antonyms: the column {name.strip()!r} has {ends[0]!r} at both ends, which tells no value from another"
            )
        if name.strip() not in columns:
            raise BenchError(
                f"antonyms: there is no numeric column {name.strip()!r}; there are {', '.join(columns) or 'none'}"
            )
        if name.strip() in told:
            raise BenchError(f"antonyms: the column {name.strip()!r} has two pairs; a column has one")
        told[name.strip()] = (ends[0], ends[1])
    if not given:
        told = {name: pair for name in columns if (pair := known_pair(name))}
    if not told:
        raise NotApplicable(
            "the numerical channel needs numeric columns with antonyms; "
            f"this data set's columns are {', '.join(columns) or 'none'}"
        )
    return told


def slerp(low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    """Points on the arc from `low` to `high`, unit vectors `(D,)`, at `share` `(N,)` in [0, 1] of the angle: `(N, D)` (Shoemake, 1985).

    Where the two are the same it is that one.
    """
    angle = torch.acos((low @ high).clamp(-1, 1))
    if angle < 1e-3:
        return F.normalize(torch.lerp(low, high, share[:, None]), dim=-1)
    share = share[:, None]
    return (torch.sin((1 - share) * angle) * low + torch.sin(share * angle) * high) / torch.sin(angle)


def normalised(values: Tensor) -> Tensor:
    """A column `(N,)` to [0, 1] between its least and greatest value among these rows; .5 where all are the same. What is no finite
    number counts as missing and becomes NaN.
    """
    values = torch.where(values.isfinite(), values, torch.nan)
    known = values[~values.isnan()]
    if not len(known):
        return values
    low, high = known.min(), known.max()
    return (values - low) / (high - low) if high > low else torch.where(values.isnan(), values, 0.5)


def embeddings(
    adapter: Adapter, numeric: Mapping[str, Tensor], given: Sequence[str], one_antonym: bool = False
) -> tuple[Tensor, Tensor]:
    """Of each training video the mean over its columns of their points `(N, D)`, and whether it has any number at all `(N,)`.

    `one_antonym` is how the earlier code was released: the first text of a pair in both places.
    """
    told = pairs(tuple(numeric), given)
    total: Tensor | None = None
    for name, (low, high) in told.items():
        ends = F.normalize(adapter.encode_text([low, low if one_antonym else high]), dim=-1)
        # In double precision until they lie in [0, 1]: numbers far from 0 would be rounded to each other.
        share = normalised(numeric[name].double()).float().to(ends.device)
        known = ~share.isnan()
        points = slerp(ends[0], ends[1], share.nan_to_num(0.0)) * known[:, None]
        counted = torch.cat([points, known[:, None]], 1)
        total = counted if total is None else total + counted
    assert total is not None
    if not total[:, -1].any():
        raise NotApplicable(f"the numerical channel: no training video has a number in {', '.join(told)}")
    return total[:, :-1] / total[:, -1:].clamp(min=1), total[:, -1] > 0


class Memory(nn.Module):
    """Classes and numbers in one small space: each side D -> 128 -> 64 with tanh between; cosines times a learnt scale, from 100."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.text, self.numbers = (drawn(lambda: _mlp(dim), generator) for _ in range(2))
        self.log_ratio = nn.Parameter(
            torch.zeros(())
        )  # of the scale to 100, so that weight decay draws it to 100 and not to 1

    def forward(self, text: Tensor, numbers: Tensor) -> Tensor:
        """Class features `(C, D)` and numbers' embeddings `(N, D)` -> logits `(N, C)`."""
        sides = F.normalize(self.numbers(numbers), dim=-1), F.normalize(self.text(text), dim=-1)
        return SCALE * self.log_ratio.exp() * sides[0] @ sides[1].T


def _mlp(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, OUT))
