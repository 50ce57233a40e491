"""The checks of an adapter."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections.abc import Callable

import numpy as np
import torch

from bench.checks._probes import TEXTS, TOLERANCE, Result, Violation, close, frames, require, result, videos
from bench.contracts import PROMPTS, TEXT, Adapter, BenchError, NotApplicable, PromptableAdapter, layered_text
from bench.forward import Encoder
from bench.frozen import parameter_hash
from bench.prompting import encode, prepare
from bench.specs import PRECISIONS

WITHOUT_TEXT = "no text"


def check_adapter(adapter: Adapter) -> list[Result]:
    """Every check of an adapter. Leaves it as it was."""
    before = parameter_hash(adapter.module)
    has = adapter.facts.capabilities
    results = [
        result(f.__name__, functools.partial(f, adapter))
        if need is None or (need in has if need != WITHOUT_TEXT else TEXT not in has)
        else Result(f.__name__, "", False)
        for f, need in _ADAPTER_CHECKS
    ]
    after = "" if parameter_hash(adapter.module) == before else "parameters are not what they were before the checks"
    return [*results, Result("parameters_stay", after)]


def facts_are_whole(adapter: Adapter) -> None:
    """Facts are filled in, and the fingerprint moves with everything a feature depends on."""
    facts = adapter.facts
    for name in ("name", "family", "weights_sha256", "transform", "pretraining", "licence"):
        require(bool(getattr(facts, name)), f"facts.{name} is empty")
    require(facts.embed_dim > 0 and facts.num_frames > 0, "embed_dim and num_frames must be positive")
    others = {
        "weights_sha256": "0" * 64,
        "transform": facts.transform + "'",
        "dtype": "float16",
        "version": facts.version + 1,
    }
    text = {
        "tokenizer": facts.tokenizer + "'",
        "context_length": facts.context_length + 1,
        "padding": facts.padding + "'",
        "logit_scale": facts.logit_scale + 1,
    }
    for name, value in text.items():
        changed = dataclasses.replace(facts, **{name: value})  # type: ignore[arg-type]
        require(changed.identity != facts.identity, f"the identity ignores {name}: runs would be taken for others")
    for name, value in others.items():
        changed = dataclasses.replace(facts, **{name: value})  # type: ignore[arg-type]
        require(
            changed.fingerprint != facts.fingerprint,
            f"the fingerprint ignores {name}: stored features would be taken for others",
        )


def is_frozen(adapter: Adapter) -> None:
    """Eval mode, no parameter with a gradient."""
    training = [n for n, m in adapter.module.named_modules() if m.training]
    require(
        not training,
        f"train mode is on in {len(training)} modules ({training[0] or 'the root'!r} ...)" if training else "",
    )
    learning = [n for n, p in adapter.module.named_parameters() if p.requires_grad]
    require(not learning, f"{len(learning)} parameters require gradients ({learning[0]} ...)" if learning else "")


def transform_is_own(adapter: Adapter) -> None:
    """uint8 frames of any size -> float32 `(T, 3, h, w)`, the same each time, in another process too."""
    given = frames(1)[0]
    video = adapter.transform(given)
    require(
        video.dtype == torch.float32 and video.dim() == 4 and video.shape[:2] == (len(given), 3),
        f"got {video.dtype} {tuple(video.shape)}",
    )
    require(torch.equal(video, adapter.transform(given)), "two calls give two results")
    again = pickle.loads(pickle.dumps(adapter.transform))
    require(torch.equal(video, again(given)), "the pickled transform gives another result")
    require(adapter.transform(given[:, :40]).shape == video.shape, "the output size depends on the input's")
    require(bool(np.array_equal(given, frames(1)[0])), "the transform writes into its input")


def video_is_independent(adapter: Adapter) -> None:
    """`(N, T, D)` float32, or `(N, 1, D)` of a video encoder, finite, the same each time, not dependent on batch neighbours."""
    given = videos(adapter, 3)
    whole = adapter.encode_video(given)
    found = whole.frames
    whole_clip = adapter.facts.fixed_num_frames and found.shape[1] == 1
    shape = (3, 1 if whole_clip else given.shape[1], adapter.facts.embed_dim)
    require(found.dtype == torch.float32, f"frame embeddings are {found.dtype}, not float32")
    require(tuple(found.shape) == shape, f"frame embeddings are {tuple(found.shape)}, not {shape}")
    require(bool(torch.isfinite(found).all()), "frame embeddings are not finite")
    require(not found.requires_grad, "video features carry a gradient")
    close(adapter.encode_video(given).frames, found, "two calls with the same videos")
    close(adapter.encode_video(given[1:2]).frames[0], found[1], "a video alone and among neighbours")
    close(adapter.encode_video(given.flip(0)).frames.flip(0), found, "videos in another order")
    # Relative to the features' own size, which random weights make tiny.
    apart = float((found[0] - found[1]).abs().max() / found.abs().max().clamp(min=torch.finfo(found.dtype).tiny))
    require(apart > TOLERANCE, "two different videos give the same features")
    extra = sum(values[0].numel() for values in whole.extra.values())
    stated = adapter.facts.extra_floats
    require(extra == stated, f"facts.extra_floats is {stated}, but a video's extra holds {extra} numbers")
    for name, values in whole.extra.items():
        require(len(values) == 3, f"extra {name} has {len(values)} rows for 3 videos")
        close(
            adapter.encode_video(given[1:2]).extra[name][0],
            values[1],
            f"extra {name} of a video alone and among neighbours",
        )


def frame_count_is_kept_or_refused(adapter: Adapter) -> None:
    """Any number of frames gives as many embeddings; a backbone made for one number refuses the others with a BenchError."""
    count = adapter.facts.num_frames + 1
    given = videos(adapter, 1, count)
    if not adapter.facts.fixed_num_frames:
        found = adapter.encode_video(given).frames
        require(found.shape[1] == count, f"{count} frames give {found.shape[1]} embeddings")
        return
    try:
        adapter.encode_video(given)
    except BenchError as error:
        require(str(adapter.facts.num_frames) in str(error), "the error does not say which number of frames is right")
    else:
        raise Violation(f"facts say {adapter.facts.num_frames} frames and no other number, but {count} are taken")


def precisions_run(adapter: Adapter) -> None:
    """Every number format that is claimed exists and gives finite features; float32 is among them."""
    claimed = adapter.facts.precisions
    unknown = sorted(set(claimed) - set(PRECISIONS))
    require(not unknown, f"facts.precisions names {', '.join(unknown)}; known are {', '.join(PRECISIONS)}")
    require("float32" in claimed, "facts.precisions lacks float32")
    given = videos(adapter, 2)
    for precision in claimed:
        encoder = Encoder(adapter, precision)
        found = encoder.encode(list(given)).frames
        require(bool(torch.isfinite(found).all()), f"features in {precision} are not finite")


def text_is_refused(adapter: Adapter) -> None:
    """A backbone without a text side says so with NotApplicable, which tables show as n/a."""
    features = adapter.encode_video(videos(adapter, 1))
    doors: tuple[tuple[str, Callable[[], object]], ...] = (
        ("encode_text", lambda: adapter.encode_text(TEXTS)),
        ("similarity", lambda: adapter.similarity(features, torch.zeros(1, adapter.facts.embed_dim))),
    )
    for name, door in doors:
        try:
            door()
        except NotApplicable:
            continue
        raise Violation(f"{name} gives an answer, though the capability {TEXT} is not claimed")


def text_depends_on_its_argument(adapter: Adapter) -> None:
    """`(P, D)` float32, one row a sentence, each by itself, different for different sentences."""
    text = adapter.encode_text(TEXTS)
    require(text.dtype == torch.float32, f"text features are {text.dtype}, not float32")
    require(tuple(text.shape) == (len(TEXTS), adapter.facts.embed_dim), f"text features are {tuple(text.shape)}")
    require(not text.requires_grad, "text features carry a gradient")
    close(adapter.encode_text(TEXTS[::-1]).flip(0), text, "sentences in another order")
    close(adapter.encode_text(TEXTS[2:3])[0], text[2], "a sentence alone and among others")
    require(
        not torch.allclose(text[0], text[1]), "two different sentences give the same features: is the argument used?"
    )
    other = adapter.encode_text(["hands clap twice"])
    require(not torch.allclose(other[0], text[0]), "a later call gives the features of an earlier one")


def similarity_is_oriented(adapter: Adapter) -> None:
    """`(N, P)` float32: rows are videos, columns texts, and each moves with its own."""
    features, text = adapter.encode_video(videos(adapter, 3)), adapter.encode_text(TEXTS)
    logits = adapter.similarity(features, text)
    require(
        tuple(logits.shape) == (3, len(TEXTS)),
        f"3 videos and {len(TEXTS)} texts give {tuple(logits.shape)}, not (3, {len(TEXTS)})",
    )
    require(logits.dtype == torch.float32, f"logits are {logits.dtype}, not float32")
    close(adapter.similarity(features, text.flip(0)).flip(1), logits, "texts in another order")
    close(adapter.similarity(features.select([2, 0, 1]), text), logits[[2, 0, 1]], "videos in another order")
    # A square case: there a transposed answer has the right shape.
    square = adapter.similarity(features, text[:3])
    close(square, logits[:, :3], "fewer texts")


def prompts_equal_text(adapter: Adapter) -> None:
    """The text tower from embeddings on gives what `encode_text` gives; gradients reach the embeddings and nothing else."""
    promptable: PromptableAdapter = adapter  # type: ignore[assignment]
    tokens = promptable.tokenize(TEXTS)
    embeddings = promptable.embed_tokens(tokens).detach().requires_grad_(True)
    text = promptable.encode_embedded(embeddings, tokens)
    close(text.detach(), promptable.encode_text(TEXTS), "encode_embedded(embed_tokens(tokens)) and encode_text")
    text.square().sum().backward()
    reached = embeddings.grad is not None and bool(embeddings.grad.abs().sum() > 0)
    require(reached, "no gradient reaches the embeddings")
    left = [n for n, p in adapter.module.named_parameters() if p.grad is not None]
    require(not left, f"gradients were left on frozen parameters ({left[0]} ...)" if left else "")


def context_has_its_places(adapter: Adapter) -> None:
    """Context tokens get M places of each text; what is put there, at the input or in a middle layer, changes the feature."""
    promptable: PromptableAdapter = adapter  # type: ignore[assignment]
    tokens = promptable.tokenize(TEXTS, 3)
    require(
        tuple(tokens.context.shape) == (len(TEXTS), 3),
        f"context places are {tuple(tokens.context.shape)}, not ({len(TEXTS)}, 3)",
    )
    embeddings = promptable.embed_tokens(tokens)
    plain = promptable.encode_embedded(embeddings, tokens)
    changed = embeddings.clone()
    rows = torch.arange(len(TEXTS), device=changed.device)[:, None]
    # Not a constant: the towers' layer norms would take that out again.
    noise = torch.randn(3, embeddings.shape[-1], generator=torch.Generator().manual_seed(1)).to(changed.device)
    changed[rows, tokens.context] += noise
    require(
        not torch.allclose(promptable.encode_embedded(changed, tokens), plain, atol=1e-4),
        "context vectors change nothing",
    )
    injected = promptable.encode_embedded(embeddings, tokens, inject={1: noise})
    require(not torch.allclose(injected, plain, atol=1e-4), "what is injected into a middle layer changes nothing")
    # A causal tower that pools M places too early does not see the end of the text.
    last = [text.rsplit(" ", 1)[0] + " elsewhere" for text in TEXTS]
    other = promptable.encode_embedded(
        promptable.embed_tokens(promptable.tokenize(last, 3)), promptable.tokenize(last, 3)
    )
    for row in range(len(TEXTS)):
        require(
            not torch.equal(other[row], plain[row]),
            "with context in front, the last word of a text changes nothing: pooled too early?",
        )
    long = promptable.tokenize(["hand " * 500], 3)
    require(long.num_cut == 1, "a text that does not fit is not counted in num_cut")


def layers_are_the_tower(adapter: Adapter) -> None:
    """Where a causal adapter offers `text_layers`: features and gradients through them are those of `encode_embedded`."""
    if layered_text(adapter) is None or not adapter.facts.causal_text:
        return
    promptable: PromptableAdapter = adapter  # type: ignore[assignment]
    tokens = promptable.tokenize(TEXTS, 3)
    embeddings = promptable.embed_tokens(tokens)
    noise = torch.randn(3, embeddings.shape[-1], generator=torch.Generator().manual_seed(1)).to(embeddings.device)
    rows = torch.arange(len(TEXTS), device=embeddings.device)[:, None]
    found = []
    for fast in (True, False):
        context = noise.clone().requires_grad_(True)
        if fast:
            text = encode(promptable, prepare(promptable, TEXTS, 3), context)
        else:
            put = embeddings.index_put((rows, tokens.context), context.expand(len(TEXTS), -1, -1))
            text = promptable.encode_embedded(put, tokens)
        text.square().sum().backward()
        found.append((text.detach(), context.grad))
    close(found[0][0], found[1][0], "text features through text_layers and encode_embedded")
    assert found[0][1] is not None and found[1][1] is not None
    close(found[0][1], found[1][1], "gradients through text_layers and encode_embedded")


_ADAPTER_CHECKS: tuple[tuple[Callable[[Adapter], None], str | None], ...] = (
    (facts_are_whole, None),
    (transform_is_own, None),
    (video_is_independent, None),
    (frame_count_is_kept_or_refused, None),
    (precisions_run, None),
    (text_is_refused, WITHOUT_TEXT),
    (text_depends_on_its_argument, TEXT),
    (similarity_is_oriented, TEXT),
    (prompts_equal_text, PROMPTS),
    (context_has_its_places, PROMPTS),
    (layers_are_the_tower, PROMPTS),
    (is_frozen, None),  # last: nothing above may have switched it
)
