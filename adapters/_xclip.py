"""X-CLIP (Ni et al., 2022): frames exchange messages, and every text is conditioned on the video that it is compared with.

Shape legend: N videos, T frames, P texts, D joint embedding size, K patches a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adapters._transformers import TextAdapter, frames_refused
from bench.contracts import BenchError, Features
from bench.packing import plain_attention

if TYPE_CHECKING:
    from transformers import XCLIPModel

    from adapters._text import Tokenizer

CONDITIONED = 8192  # pairs of a video and a text that are worked on at once where no gradient is kept


class XclipAdapter(TextAdapter):
    """A frozen XCLIPModel. Its frames see each other, so it takes the number of frames that it was made for and no other."""

    def __init__(
        self,
        model: XCLIPModel,
        transform: Any,
        tokenizer: Tokenizer | Callable[[], Tokenizer],
        facts: Mapping[str, Any],
        device: str,
    ) -> None:
        """`facts` holds the fields of BackboneFacts that the model itself does not tell: name, weights, licence and the like."""
        num_frames = int(model.vision_model.config.num_frames)
        extra = int(model.vision_model.embeddings.num_patches * model.projection_dim)
        own = {"num_frames": num_frames, "fixed_num_frames": True, "extra_floats": extra, **facts}
        super().__init__(model, transform, tokenizer, own, device, causal=True, project=model.text_projection)

    def encode_video(self, video: Tensor) -> Features:
        """float32 `(N, T, 3, h, w)` -> frames float32 `(N, T, D)` after their integration, whose mean is X-CLIP's video embedding,
        and `extra["patches"]`, float32 `(N, K, D)`: the patch map that texts are conditioned on.

        Raises:
            BenchError: T is not the number of frames that the model was made for.
        """
        num, num_frames = video.shape[:2]
        if num_frames != self._facts.num_frames:
            raise frames_refused(self._facts, num_frames)
        model = self._model
        with torch.no_grad():
            seen = model.vision_model(pixel_values=video.flatten(0, 1).to(self._device))
            frames = model.mit(model.visual_projection(seen.pooler_output).unflatten(0, (num, num_frames)))
            patches = model.prompts_visual_layernorm(seen.last_hidden_state[:, 1:]) @ model.prompts_visual_projection
            patches = patches.unflatten(0, (num, num_frames)).mean(dim=1)
        return Features(frames.last_hidden_state.float(), {"patches": patches.float()})

    def similarity(self, features: Features, text: Tensor) -> Tensor:
        """Scaled cosine of each video with each text `(P, D)` as that video conditions it -> float32 `(N, P)`; gradients reach `text`.

        Raises:
            BenchError: features without the patch map, so not of this adapter.
        """
        if "patches" not in features.extra:
            raise BenchError(
                f"{self._facts.name} conditions its texts on the video's patch map, and these features have none; take encode_video's"
            )
        learning = torch.is_grad_enabled() and text.requires_grad
        step = max(1, len(features) if learning else CONDITIONED // max(1, len(text)))
        chunks = zip(features.pooled.split(step), features.extra["patches"].split(step), strict=True)
        return torch.cat(
            [self._logits(pooled.to(text.device), patches.to(text.device), text) for pooled, patches in chunks]
        )

    def _logits(self, pooled: Tensor, patches: Tensor, text: Tensor) -> Tensor:
        texts = text.expand(len(pooled), -1, -1)
        with plain_attention(text.device):
            texts = F.normalize(texts + self._model.prompts_generator(texts, patches), dim=-1)
        return self._facts.logit_scale * torch.einsum("nd,npd->np", F.normalize(pooled, dim=-1), texts)
