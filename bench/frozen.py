"""Whether a backbone stayed as it was."""

from __future__ import annotations

import torch


def parameter_hash(module: torch.nn.Module) -> str:
    """A hash of all parameters and buffers, on their device: sums of their bits weighted by place, so that equal changes cannot cancel."""
    return "-".join(f"{_bit_sum(t):x}" for t in (*module.parameters(), *module.buffers()))


def _bit_sum(tensor: torch.Tensor) -> int:
    flat = tensor.detach().contiguous().reshape(-1)
    bits = flat.view(_WORDS[flat.element_size()]).to(torch.int64)
    places = 2 * torch.arange(len(bits), device=bits.device) + 1  # odd, so no factor is lost modulo 2^64
    return int((bits * places).sum())


_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
