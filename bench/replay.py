"""A step of few tokens on a GPU as one CUDA graph: there launching some hundred small kernels takes longer than computing them.

The graph computes into memory of its own, which the next forward pass overwrites. So a pass that comes before the gradient of the one
before was taken, as in a loss that looks at the prompts twice, is computed the plain way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MOST_TOKENS = 2048  # on an H200 a step of more tokens keeps the GPU busy by itself; the memory of a graph is held as long as it lives


class Replayed:
    """`call`, from a tensor to a tensor, always on the same shape and without random numbers or a look at values.

    On a GPU, with gradients, its kernels are recorded at the first call and replayed at the later ones. Same results.
    """

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        self._call = call
        self._graph: Callable[[Tensor], Tensor] | None = None
        self._shape: torch.Size | None = None
        self._is_open = False  # a forward pass whose gradient was not taken yet

    def __call__(self, x: Tensor) -> Tensor:
        if not (x.is_cuda and x.requires_grad and torch.is_grad_enabled()) or self._is_open:
            return self._call(x)
        if self._graph is None:
            self._graph, self._shape = _recorded(self._call, x), x.shape
        if x.shape != self._shape:
            return self._call(x)
        self._is_open = True
        out = self._graph(x).clone()
        out.register_hook(self._close)
        return out

    def _close(self, gradient: Tensor) -> None:
        self._is_open = False


def _recorded(call: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """The call as a graph of its forward and one of its backward pass."""
    sample = x.detach().clone().requires_grad_()
    # The thread of backward passes gets its CUDA context, without which cuBLAS warns.
    torch.autograd.grad((sample * sample).sum(), sample)
    with warnings.catch_warnings():
        # torch before 2.15 warms up on another stream than it records on, and says that this is slow.
        warnings.filterwarnings("ignore", message="The AccumulateGrad node's stream")
        graph: Any = torch.cuda.make_graphed_callables(call, (sample,))
    return graph  # type: ignore[no-any-return]
