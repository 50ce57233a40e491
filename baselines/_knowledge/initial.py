"""What learnt numbers start from. Everything is drawn from a given generator, nothing from torch's global one.

Shape legend: P texts, L tokens, W text width, M context tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import BenchError, Classes, PromptableAdapter
from bench.prompting import initial_context

if TYPE_CHECKING:
    from baselines._knowledge.config import Config

Module = TypeVar("Module", bound=nn.Module)
TEXTS = 256  # texts looked up at once


def context(config: Config, adapter: PromptableAdapter, classes: Classes, generator: torch.Generator) -> Tensor:
    """Initial context float32 `(M, W)`, or `(C, M, W)` where it is class-specific.

    "random": N(0, .02^2), as CoOp; "zeros": as GaVA-CLIP. "phrase": M segment means of the phrase's token embeddings, which is the
    phrase itself where it has M tokens. "knowledge": the mean, over all statements or over the class's own, of the M segment means
    of each statement's token embeddings.
    """
    num, special = config.num_context_tokens, config.class_specific_context
    # Drawn whatever is asked for: another beginning must not change the order of the batches too.
    random = [initial_context(adapter, num, generator) for _ in range(len(classes) if special else 1)]
    if config.context_init == "random":
        return torch.stack(random) if special else random[0]
    if config.context_init == "zeros":
        made = torch.zeros_like(torch.stack(random))
    elif config.context_init == "phrase":
        made = segment_means(adapter, [config.phrase], num).expand(len(random), -1, -1)
    elif special:
        made = torch.stack([segment_means(adapter, of_class, num).mean(0) for of_class in classes.statements])
    else:
        made = segment_means(adapter, [s for of_class in classes.statements for s in of_class], num).mean(0)[None]
    return (made if special else made[0]).clone()


def segment_means(adapter: PromptableAdapter, texts: Sequence[str], num: int) -> Tensor:
    """Each text's token embeddings, without start and end, in `num` segments of equal length, and the mean of each: `(P, num, W)`.

    Segment m of L tokens goes from floor(m L / num) up to ceil((m + 1) L / num), so that a text of fewer tokens repeats some.

    Raises:
        BenchError: the adapter does not say how many tokens a text has.
    """
    means = []
    with torch.no_grad():
        for start in range(0, len(texts), TEXTS):
            # One free position shows where the text begins: right behind it.
            tokens = adapter.tokenize(texts[start : start + TEXTS], 1)
            if tokens.num_text is None:
                raise BenchError(
                    f"{adapter.facts.name} does not say how long its texts are (num_text); take context_init='random'"
                )
            embeddings = adapter.embed_tokens(tokens)
            places = zip(embeddings, tokens.context[:, 0].tolist(), tokens.num_text.tolist(), strict=True)
            for row, before, length in places:
                means.append(F.adaptive_avg_pool1d(row[before + 1 : before + 1 + length].T[None], num)[0].T)
    return torch.stack(means)


def drawn(make: Callable[[], Module], generator: torch.Generator) -> Module:
    """A module whose weights are drawn from `generator`: uniform within 1 / sqrt(inputs), biases 0, norms as they always start."""
    with torch.device("meta"):  # so that its own initialisation draws nothing
        module = make()
    module = module.to_empty(device="cpu")
    with torch.no_grad():
        for part in module.modules():
            for name, parameter in part.named_parameters(recurse=False):
                if isinstance(part, nn.LayerNorm):
                    parameter.fill_(1.0 if name == "weight" else 0.0)
                elif parameter.dim() > 1:
                    bound = parameter.shape[1] ** -0.5
                    parameter.uniform_(-bound, bound, generator=generator)
                else:
                    parameter.zero_()
    return module
