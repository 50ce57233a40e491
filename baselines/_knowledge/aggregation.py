"""From statements to classes: five ways to make of a class's statements one logit. The adapter keeps the say over every logit.

Shape legend: N videos, T frames, D joint size, P statements, C classes, K statements of a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.interpretation import frame_logits
from bench.prompting import mean_by_class

if TYPE_CHECKING:
    from bench.contracts import Adapter, Features

EPSILON, ITERATIONS = 0.1, 100  # OST (Chen et al., 2024)
ENOUGH = 1e-4  # a problem is done once every row's sum is right to this share
SHARE = 0.5  # of the transport in the logit, as in OST; the rest is the mean of logits


def class_logits(
    how: str,
    adapter: Adapter,
    features: Features,
    text: Tensor,
    owner: Tensor,
    num_classes: int,
    query: Tensor | None = None,
) -> Tensor:
    """Logits float32 `(N, C)` of statement features `(P, D)` of which `owner` int64 `(P,)` tells the class; gradients reach `text`.

    "logits": the mean of the statements' logits (GaVA-CLIP; Menon & Vondrick). "features": the logit of the mean feature (CuPL).
    "max": the statement that fits best. "attention": the mean of logits with weights softmax(query . t / |t|) over the class's
    statements; `query` `(D,)` is learnt. "transport": see `transported`.
    """
    if how == "features":
        return adapter.similarity(features, mean_features(text, owner, num_classes))
    logits = adapter.similarity(features, text)
    if how == "logits":
        return mean_by_class(logits, owner, num_classes)
    if how == "max":
        least = logits.new_full((len(logits), num_classes), -torch.inf)
        return least.scatter_reduce(1, owner.expand(len(logits), -1), logits, "amax")
    if how == "attention":
        assert query is not None
        weights = softmax_by_class(F.normalize(text, dim=-1) @ query, owner, num_classes)
        return logits.new_zeros(len(logits), num_classes).index_add(1, owner, logits * weights)
    moved = transported(adapter, features, text, owner, num_classes)
    return SHARE * moved + (1 - SHARE) * mean_by_class(logits, owner, num_classes)


def mean_features(text: Tensor, owner: Tensor, num_classes: int) -> Tensor:
    """Mean of each class's L2-normalised statement features `(C, D)`, at the mean length that they had: a cosine does not see it, a
    text that is conditioned on the video does.
    """
    counts = torch.bincount(owner, minlength=num_classes)[:, None]
    lengths = text.norm(dim=-1, keepdim=True)
    means = text.new_zeros(num_classes, text.shape[1]).index_add(0, owner, text / lengths) / counts
    return means * (text.new_zeros(num_classes, 1).index_add(0, owner, lengths) / counts)


def softmax_by_class(scores: Tensor, owner: Tensor, num_classes: int) -> Tensor:
    """Weights `(P,)` that sum to 1 over each class's statements."""
    highest = scores.new_full((num_classes,), -torch.inf).scatter_reduce(0, owner, scores.detach(), "amax")
    raised = (scores - highest[owner]).exp()
    return raised / scores.new_zeros(num_classes).index_add(0, owner, raised)[owner]


def transported(adapter: Adapter, features: Features, text: Tensor, owner: Tensor, num_classes: int) -> Tensor:
    """Logits `(N, C)`: the mean over frames and statements of a class, weighted by the transport plan between them, of `frame_logits`.

    The cost of a frame and a statement is 1 - cosine, the marginals are even. As in OST no gradient goes through the plan.
    """
    logits = frame_logits(adapter, features, text)
    cost = 1 - (logits.detach() - adapter.facts.logit_bias) / adapter.facts.logit_scale
    counts = torch.bincount(owner, minlength=num_classes)
    order = torch.argsort(owner, stable=True)
    first = counts.cumsum(0) - counts
    parts, places = [], []
    for count in counts.unique().tolist():  # classes with as many statements have problems of one shape
        those = torch.nonzero(counts == count).flatten()
        rows = order[first[those, None] + torch.arange(count, device=order.device)]
        plan = sinkhorn(cost[:, :, rows].transpose(1, 2))
        parts.append((plan * logits[:, :, rows].transpose(1, 2)).sum((-2, -1)))
        places.append(those)
    return torch.cat(parts, 1)[:, torch.argsort(torch.cat(places))]


def sinkhorn(cost: Tensor, epsilon: float = EPSILON, iterations: int = ITERATIONS) -> Tensor:
    """Plans of entropic optimal transport between even marginals, for costs float32 `(..., T, K)`; each plan sums to 1.

    Sinkhorn's iteration in the log domain (Cuturi, 2013; Peyre & Cuturi, 2019, section 4.4). A problem that is done stays as it
    is, so that no video's plan depends on how long the others in its batch take.
    """
    rows, columns = (-torch.tensor(float(size)).log().item() for size in cost.shape[-2:])
    f, g = cost.new_zeros(cost.shape[:-1]), cost.new_zeros((*cost.shape[:-2], cost.shape[-1]))
    done = torch.zeros(cost.shape[:-2], dtype=torch.bool, device=cost.device)
    for _ in range(iterations):
        new_f = epsilon * (rows - ((g[..., None, :] - cost) / epsilon).logsumexp(-1))
        new_g = epsilon * (columns - ((new_f[..., None] - cost) / epsilon).logsumexp(-2))
        # exp((f - new_f) / epsilon) is what the row sums were off by before this step.
        off = (new_f - f).abs().amax(-1) / epsilon
        f, g = torch.where(done[..., None], f, new_f), torch.where(done[..., None], g, new_g)
        done = done | (off < ENOUGH)
        if bool(done.all()):
            break
    return ((f[..., None] + g[..., None, :] - cost) / epsilon).exp()
