"""The contract, as checks that any adapter or method can be put through: ours, yours, with any weights.

Each check takes the plug-in and raises Violation with what it saw. `check_adapter` and `check_method` run them all and report each.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import av
import numpy as np
import safetensors
import torch
from torch import Tensor

from bench import frames
from bench.contracts import (
    KNOWLEDGE,
    PROMPTS,
    TEXT,
    TRAIN,
    Adapter,
    Classes,
    Features,
    LabelledFeatures,
    PromptableAdapter,
)
from bench.features import FeatureStore
from bench.runner import parameter_hash

TOLERANCE = 1e-5  # float32, relative to the largest value
TEXTS = (
    "a person waves with one hand",
    "someone sits down on a chair slowly",
    "legs move fast",
    "both arms go up and down again",
)
NAMES = ("sit down", "wave", "walk")


class Violation(AssertionError):
    """A promise of the contract that does not hold, and what was seen instead."""


@dataclass(frozen=True)
class Result:
    """One check: its name, and the violation in words; "" where it holds."""

    name: str
    problem: str
    applies: bool = True  # False where the plug-in does not claim what the check is about


def check_adapter(adapter: Adapter) -> list[Result]:
    """Every check of an adapter. Leaves it as it was."""
    before = parameter_hash(adapter.module)
    has = adapter.facts.capabilities
    results = [
        _result(f.__name__, functools.partial(f, adapter))
        if need is None or need in has
        else Result(f.__name__, "", False)
        for f, need in _ADAPTER_CHECKS
    ]
    after = "" if parameter_hash(adapter.module) == before else "parameters are not what they were before the checks"
    return [*results, Result("parameters_stay", after)]


def check_method(method: ModuleType, adapter: Adapter) -> list[Result]:
    """Every check of a method on an adapter, with its default config."""
    return [_result(f.__name__, functools.partial(f, method, adapter)) for f in _METHOD_CHECKS]


def _result(name: str, check: Callable[[], None]) -> Result:
    try:
        check()
    except Violation as violation:
        return Result(name, str(violation))
    except Exception as error:  # a plug-in that raises breaks the contract too
        return Result(name, f"raised {type(error).__name__}: {error}")
    return Result(name, "")


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise Violation(problem)


def _close(a: Tensor, b: Tensor, what: str) -> None:
    _require(a.shape == b.shape, f"{what}: shapes {tuple(a.shape)} and {tuple(b.shape)}")
    worst = float((a - b).abs().max()) / max(1.0, float(b.abs().max())) if a.numel() else 0.0
    _require(worst <= TOLERANCE, f"{what}: differ by {worst:.2g} of the largest value")


# --- adapters ---------------------------------------------------------------------------------------------------


def facts_are_whole(adapter: Adapter) -> None:
    """Facts are filled in, and the fingerprint moves with everything a feature depends on."""
    facts = adapter.facts
    for name in ("name", "family", "weights_sha256", "transform", "pretraining", "licence"):
        _require(bool(getattr(facts, name)), f"facts.{name} is empty")
    _require(facts.embed_dim > 0 and facts.num_frames > 0, "embed_dim and num_frames must be positive")
    others = {
        "weights_sha256": "0" * 64,
        "transform": facts.transform + "'",
        "dtype": "float16",
        "version": facts.version + 1,
    }
    for name, value in others.items():
        changed = dataclasses.replace(facts, **{name: value})  # type: ignore[arg-type]
        _require(
            changed.fingerprint != facts.fingerprint,
            f"the fingerprint ignores {name}: stored features would be taken for others",
        )


def is_frozen(adapter: Adapter) -> None:
    """Eval mode, no parameter with a gradient."""
    training = [n for n, m in adapter.module.named_modules() if m.training]
    _require(
        not training,
        f"train mode is on in {len(training)} modules ({training[0] or 'the root'!r} ...)" if training else "",
    )
    learning = [n for n, p in adapter.module.named_parameters() if p.requires_grad]
    _require(not learning, f"{len(learning)} parameters require gradients ({learning[0]} ...)" if learning else "")


def transform_is_own(adapter: Adapter) -> None:
    """uint8 frames of any size -> float32 `(T, 3, h, w)`, the same each time, in another process too."""
    frames = _frames(1)[0]
    video = adapter.transform(frames)
    _require(
        video.dtype == torch.float32 and video.dim() == 4 and video.shape[:2] == (len(frames), 3),
        f"got {video.dtype} {tuple(video.shape)}",
    )
    _require(torch.equal(video, adapter.transform(frames)), "two calls give two results")
    again = pickle.loads(pickle.dumps(adapter.transform))
    _require(torch.equal(video, again(frames)), "the pickled transform gives another result")
    _require(adapter.transform(frames[:, :40]).shape == video.shape, "the output size depends on the input's")
    _require(bool(np.array_equal(frames, _frames(1)[0])), "the transform writes into its input")


def video_is_independent(adapter: Adapter) -> None:
    """`(N, T, D)` float32, finite, the same each time; a video's row does not depend on its batch neighbours."""
    videos = _videos(adapter, 3)
    whole = adapter.encode_video(videos)
    frames = whole.frames
    shape = (3, videos.shape[1], adapter.facts.embed_dim)
    _require(frames.dtype == torch.float32, f"frame embeddings are {frames.dtype}, not float32")
    _require(tuple(frames.shape) == shape, f"frame embeddings are {tuple(frames.shape)}, not {shape}")
    _require(bool(torch.isfinite(frames).all()), "frame embeddings are not finite")
    _require(not frames.requires_grad, "video features carry a gradient")
    _close(adapter.encode_video(videos).frames, frames, "two calls with the same videos")
    _close(adapter.encode_video(videos[1:2]).frames[0], frames[1], "a video alone and among neighbours")
    _close(adapter.encode_video(videos.flip(0)).frames.flip(0), frames, "videos in another order")
    _require(not torch.allclose(frames[0], frames[1]), "two different videos give the same features")
    for name, values in whole.extra.items():
        _require(len(values) == 3, f"extra {name} has {len(values)} rows for 3 videos")
        _close(
            adapter.encode_video(videos[1:2]).extra[name][0],
            values[1],
            f"extra {name} of a video alone and among neighbours",
        )


def text_depends_on_its_argument(adapter: Adapter) -> None:
    """`(P, D)` float32, one row a sentence, each by itself, different for different sentences."""
    text = adapter.encode_text(TEXTS)
    _require(text.dtype == torch.float32, f"text features are {text.dtype}, not float32")
    _require(tuple(text.shape) == (len(TEXTS), adapter.facts.embed_dim), f"text features are {tuple(text.shape)}")
    _require(not text.requires_grad, "text features carry a gradient")
    _close(adapter.encode_text(TEXTS[::-1]).flip(0), text, "sentences in another order")
    _close(adapter.encode_text(TEXTS[2:3])[0], text[2], "a sentence alone and among others")
    _require(
        not torch.allclose(text[0], text[1]), "two different sentences give the same features: is the argument used?"
    )
    other = adapter.encode_text(["hands clap twice"])
    _require(not torch.allclose(other[0], text[0]), "a later call gives the features of an earlier one")


def similarity_is_oriented(adapter: Adapter) -> None:
    """`(N, P)` float32: rows are videos, columns texts, and each moves with its own."""
    features, text = adapter.encode_video(_videos(adapter, 3)), adapter.encode_text(TEXTS)
    logits = adapter.similarity(features, text)
    _require(
        tuple(logits.shape) == (3, len(TEXTS)),
        f"3 videos and {len(TEXTS)} texts give {tuple(logits.shape)}, not (3, {len(TEXTS)})",
    )
    _require(logits.dtype == torch.float32, f"logits are {logits.dtype}, not float32")
    _close(adapter.similarity(features, text.flip(0)).flip(1), logits, "texts in another order")
    _close(adapter.similarity(features.select([2, 0, 1]), text), logits[[2, 0, 1]], "videos in another order")
    # A square case: there a transposed answer has the right shape.
    square = adapter.similarity(features, text[:3])
    _close(square, logits[:, :3], "fewer texts")


def prompts_equal_text(adapter: Adapter) -> None:
    """The text tower from embeddings on gives what `encode_text` gives; gradients reach the embeddings and nothing else."""
    promptable: PromptableAdapter = adapter  # type: ignore[assignment]
    tokens = promptable.tokenize(TEXTS)
    embeddings = promptable.embed_tokens(tokens).detach().requires_grad_(True)
    text = promptable.encode_embedded(embeddings, tokens)
    _close(text.detach(), promptable.encode_text(TEXTS), "encode_embedded(embed_tokens(tokens)) and encode_text")
    text.square().sum().backward()
    reached = embeddings.grad is not None and bool(embeddings.grad.abs().sum() > 0)
    _require(reached, "no gradient reaches the embeddings")
    left = [n for n, p in adapter.module.named_parameters() if p.grad is not None]
    _require(not left, f"gradients were left on frozen parameters ({left[0]} ...)" if left else "")


def context_has_its_places(adapter: Adapter) -> None:
    """Context tokens get M places of each text; what is put there, at the input or in a middle layer, changes the feature."""
    promptable: PromptableAdapter = adapter  # type: ignore[assignment]
    tokens = promptable.tokenize(TEXTS, 3)
    _require(
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
    _require(
        not torch.allclose(promptable.encode_embedded(changed, tokens), plain, atol=1e-4),
        "context vectors change nothing",
    )
    injected = promptable.encode_embedded(embeddings, tokens, inject={1: noise})
    _require(not torch.allclose(injected, plain, atol=1e-4), "what is injected into a middle layer changes nothing")
    # A causal tower that pools M places too early does not see the end of the text.
    last = [text.rsplit(" ", 1)[0] + " elsewhere" for text in TEXTS]
    other = promptable.encode_embedded(
        promptable.embed_tokens(promptable.tokenize(last, 3)), promptable.tokenize(last, 3)
    )
    for row in range(len(TEXTS)):
        _require(
            not torch.equal(other[row], plain[row]),
            "with context in front, the last word of a text changes nothing: pooled too early?",
        )
    long = promptable.tokenize(["hand " * 500], 3)
    _require(long.num_cut == 1, "a text that does not fit is not counted in num_cut")


_ADAPTER_CHECKS: tuple[tuple[Callable[[Adapter], None], str | None], ...] = (
    (facts_are_whole, None),
    (transform_is_own, None),
    (video_is_independent, None),
    (text_depends_on_its_argument, TEXT),
    (similarity_is_oriented, TEXT),
    (prompts_equal_text, PROMPTS),
    (context_has_its_places, PROMPTS),
    (is_frozen, None),  # last: nothing above may have switched it
)


# --- methods ----------------------------------------------------------------------------------------------------


def config_is_frozen(method: ModuleType, adapter: Adapter) -> None:
    """A frozen dataclass whose defaults make a config and whose fields go through JSON into the run id."""
    config = method.Config()
    _require(dataclasses.is_dataclass(config), "Config is no dataclass")
    _require(bool(method.Config.__dataclass_params__.frozen), "Config is not frozen")
    json.dumps(dataclasses.asdict(config))
    _require(isinstance(method.describe(config), str), "describe(config) is no text")
    taken = list(inspect.signature(method.fit).parameters)
    _require(taken == ["config", "adapter", "train", "val", "classes", "seed"], f"fit takes {', '.join(taken)}")


def logits_are_whole(method: ModuleType, adapter: Adapter) -> None:
    """`(N, C)` float32, finite, the same for the same seed."""
    predictor, test, classes = _fitted(method, adapter)
    logits = predictor(test, classes)
    _require(
        tuple(logits.shape) == (len(test), len(classes)),
        f"logits are {tuple(logits.shape)}, not ({len(test)}, {len(classes)})",
    )
    _require(logits.dtype == torch.float32, f"logits are {logits.dtype}, not float32")
    _require(bool(torch.isfinite(logits).all()), "logits are not finite")
    again, _, _ = _fitted(method, adapter)
    _close(again(test, classes), logits, "two fits with one seed")


def classes_permute(method: ModuleType, adapter: Adapter) -> None:
    """Classes in another order give the same columns in that order."""
    predictor, test, classes = _fitted(method, adapter)
    logits = predictor(test, classes)
    order = [2, 0, 1]
    _close(predictor(test, classes.select(order)), logits[:, order], "classes in another order")


def videos_are_judged_alone(method: ModuleType, adapter: Adapter) -> None:
    """A test video's logits do not depend on the other test videos: no peeking at the test set as a whole."""
    predictor, test, classes = _fitted(method, adapter)
    logits = predictor(test, classes)
    _close(predictor(test.select([4]), classes)[0], logits[4], "a test video alone and among the others")
    order = torch.arange(len(test)).flip(0)
    _close(predictor(test.select(order), classes).flip(0), logits, "test videos in another order")


def backbone_stays(method: ModuleType, adapter: Adapter) -> None:
    """Fitting and predicting leave every parameter, the mode, and the gradients of the backbone as they were."""
    before = parameter_hash(adapter.module)
    predictor, test, classes = _fitted(method, adapter)
    predictor(test, classes)
    _require(parameter_hash(adapter.module) == before, "a parameter of the frozen backbone changed")
    is_frozen(adapter)
    left = [n for n, p in adapter.module.named_parameters() if p.grad is not None]
    _require(not left, f"gradients were left on frozen parameters ({left[0]} ...)" if left else "")


def files_stay_closed(method: ModuleType, adapter: Adapter) -> None:
    """`fit` opens no data file: what it may see comes as arguments, and the test view is not among them.

    Python's own `open` is seen wherever it is called; libraries that open files in C or Rust are seen by their usual doors.
    """
    with _watched() as opened:
        _fitted(method, adapter)
    _require(not opened, f"fit opened {opened[0]}" if opened else "")


_METHOD_CHECKS = (
    config_is_frozen,
    logits_are_whole,
    classes_permute,
    videos_are_judged_alone,
    backbone_stays,
    files_stay_closed,
)

_DATA_SUFFIXES = (".safetensors", ".npz", ".npy", ".csv", ".mp4", ".avi", ".pt")
_opened: list[str] | None = None


def _on_event(event: str, args: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and str(args[0]).endswith(_DATA_SUFFIXES):
        _opened.append(str(args[0]))


@contextmanager
def _watched() -> Iterator[list[str]]:
    """The data files that are opened meanwhile. A hook cannot be taken off again, so it is put on once and switched."""
    global _opened
    _add_hook()
    _opened = []
    doors: list[tuple[Any, str]] = [
        (av, "open"),
        (safetensors, "safe_open"),
        (FeatureStore, "load"),
        (frames, "read"),
        (torch, "load"),
    ]
    before = [getattr(owner, name) for owner, name in doors]
    for (owner, name), door in zip(doors, before, strict=True):
        setattr(owner, name, _watching(f"{owner.__name__}.{name}", door))
    try:
        yield _opened
    finally:
        _opened = None
        for (owner, name), door in zip(doors, before, strict=True):
            setattr(owner, name, door)


def _watching(name: str, door: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        if _opened is not None:
            _opened.append(f"{name}({', '.join(map(str, args))})")
        return door(*args, **kwargs)

    return watched


@functools.cache
def _add_hook() -> None:
    sys.addaudithook(_on_event)


# --- probes -----------------------------------------------------------------------------------------------------


def _frames(num: int) -> np.ndarray:
    """uint8 `(N, T=4, 60, 80, 3)`: moving bright squares, another in each video."""
    rng = np.random.default_rng(7)
    video = rng.integers(0, 60, (num, 4, 60, 80, 3), dtype=np.uint8)
    for n in range(num):
        for t in range(4):
            y, x = 5 + 10 * n, 8 + 12 * t
            video[n, t, y : y + 18, x : x + 14, n % 3] = 230
    return video


def _videos(adapter: Adapter, num: int) -> Tensor:
    frames = _frames(num)
    count = adapter.facts.num_frames
    repeated = frames[:, np.arange(count) % frames.shape[1]]
    return torch.stack([adapter.transform(v) for v in repeated])


def _fitted(method: ModuleType, adapter: Adapter) -> tuple[Any, Features, Classes]:
    """A predictor fitted on 3 classes x 3 videos of synthetic features, 12 test videos, the classes."""
    statements = tuple((f"{t}", f"{t} again and again") for t in TEXTS[:3])
    classes = Classes(NAMES, ("{}", "a video of {}."), statements if KNOWLEDGE in method.NEEDS else ())
    generator = torch.Generator().manual_seed(3)
    probe = adapter.encode_video(_videos(adapter, 3))

    def draw(per_class: int) -> LabelledFeatures:
        labels = torch.arange(3).repeat(per_class)
        base = probe.select(labels)
        noise = 0.05 * base.frames.std() * torch.randn(base.frames.shape, generator=generator)
        return LabelledFeatures(Features(base.frames + noise.to(base.frames.device), base.extra), labels)

    train, val, test = draw(3), draw(1), draw(4)
    nothing = TRAIN not in method.NEEDS
    config = method.Config()
    predictor = method.fit(config, adapter, None if nothing else train, None if nothing else val, classes, 5)
    return predictor, test.features, classes
