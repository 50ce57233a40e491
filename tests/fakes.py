"""A backbone without weights and videos without a camera, so that the core can be tested without either.

Shape legend: N videos, T frames, P texts, L tokens, W text width, D joint size, M context tokens.
"""

import itertools
import sys
import zlib
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bench.contracts import PROMPTS, TEXT, BackboneFacts, CausalText, Features, TextLayer, Tokens, digest

SIDE, WIDTH, DIM = 8, 16, 16  # pixels a side after the transform, W, D
VOCABULARY, LENGTH, LAYERS = 256, 32, 2
END, PAD = 1, 0
NUM_FRAMES = 4


class FakeTransform:
    """uint8 `(T, H, W, 3)` of any size -> float32 `(T, 3, SIDE, SIDE)` in [-1, 1]."""

    def __call__(self, frames):
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
        return F.adaptive_avg_pool2d(pixels, SIDE) / 127.5 - 1


class FakeModule(nn.Module):
    """Every parameter of the fake: a linear look at frames, and a causal text tower of two one-headed layers."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape, scale):
            return nn.Parameter(torch.randn(*shape, generator=generator) * scale, requires_grad=False)

        self.visual = draw(3 * SIDE * SIDE, DIM, scale=0.1)
        self.embedding = draw(VOCABULARY, WIDTH, scale=1.0)
        self.positions = draw(LENGTH, WIDTH, scale=0.3)
        self.attention = draw(LAYERS, 3, WIDTH, WIDTH, scale=WIDTH**-0.5)
        self.projection = draw(WIDTH, DIM, scale=WIDTH**-0.5)
        self.eval()


class FakeAdapter:
    """The whole contract, prompts too, in about 9,500 parameters; deterministic, on the CPU, with no files.

    `seed` makes other weights, `capabilities` takes some away. `num_encoded` counts the videos that went through `encode_video`.
    """

    def __init__(self, name="fake", seed=0, num_frames=NUM_FRAMES, capabilities=frozenset({TEXT, PROMPTS}), version=1):
        self.module = FakeModule(seed)
        self.transform = FakeTransform()
        self.num_encoded = 0
        weights = digest([p.flatten().tolist() for p in self.module.parameters()], 64)
        self.facts = BackboneFacts(
            name=name,
            family="Fake",
            architecture="fake",
            weights="drawn",
            weights_sha256=weights,
            embed_dim=DIM,
            num_frames=num_frames,
            transform=f"mean-{SIDE}x{SIDE}",
            dtype="float32",
            logit_scale=20.0,
            logit_bias=0.0,
            context_length=LENGTH,
            padding="zeros behind the end token, pooled at the end token",
            causal_text=True,
            capabilities=capabilities,
            pretraining="none",
            licence="Apache-2.0",
            version=version,
            num_parameters=sum(p.numel() for p in self.module.parameters()),
            toy_scale=True,
        )

    def encode_video(self, video):
        self.num_encoded += len(video)
        with torch.no_grad():
            return Features(torch.tanh(video.flatten(2) @ self.module.visual))

    def encode_text(self, texts):
        with torch.no_grad():
            tokens = self.tokenize(texts)
            return self.encode_embedded(self.embed_tokens(tokens), tokens)

    def similarity(self, features, text):
        pooled = F.normalize(features.pooled, dim=-1)
        return self.facts.logit_scale * pooled @ F.normalize(text, dim=-1).T + self.facts.logit_bias

    def tokenize(self, texts, num_context_tokens=0):
        room = LENGTH - num_context_tokens - 1
        words = [[2 + zlib.crc32(word.encode()) % (VOCABULARY - 2) for word in text.split()] for text in texts]
        ids = torch.full((len(words), LENGTH), PAD)
        for row, of_text in enumerate(words):
            kept = [*of_text[:room], END]
            ids[row, num_context_tokens : num_context_tokens + len(kept)] = torch.tensor(kept)
        pool = torch.tensor([num_context_tokens + min(len(of_text), room) for of_text in words])
        context = torch.arange(num_context_tokens).expand(len(words), -1)
        num_text = torch.tensor([min(len(of_text), room) for of_text in words])
        return Tokens(ids, pool, context, sum(len(of_text) > room for of_text in words), num_text)

    def embed_tokens(self, tokens):
        return self.module.embedding[tokens.ids]

    def encode_embedded(self, embeddings, tokens, inject=None):
        rows, length = torch.arange(len(embeddings)), embeddings.shape[1]
        causal = torch.full((length, length), -torch.inf).triu(1)
        x = embeddings + self.module.positions[:length]
        for layer, (q, k, v) in enumerate(self.module.attention):
            if inject and layer in inject:
                values = inject[layer].expand(len(x), -1, -1)
                x = x.index_put((rows[:, None], tokens.context), values)
            weights = (x @ q @ (x @ k).transpose(1, 2) * WIDTH**-0.5 + causal).softmax(-1)
            x = x + weights @ (x @ v)
        return x[rows, tokens.pool] @ self.module.projection


class LayeredFake(FakeAdapter):
    """The same fake, which takes its text tower apart too."""

    def text_layers(self):
        def layer(q, k, v):
            return TextLayer(lambda x: (x @ q, x @ k, x @ v), lambda x, attended: x + attended, num_heads=1)

        layers = [layer(*weights) for weights in self.module.attention]
        return CausalText(self.module.positions, layers, lambda pooled: pooled @ self.module.projection)


# --- plug-ins that no package brings ----------------------------------------------------------------------------

_numbers = itertools.count()


def plug_in(monkeypatch, kind, name, **attributes):
    """Make a plug-in known for one test, as an installed package's entry point would; returns its module."""
    from bench import planning, plugins

    module = ModuleType(f"fake_plug_in_{next(_numbers)}")
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    point = EntryPoint(name, module.__name__, f"kpbench.{kind}")
    before = getattr(plugins, "entry_points", entry_points)
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [*before(group=group), *([point] if group == point.group else [])]
    )
    forget(planning)
    return module


def plug_in_adapter(monkeypatch, adapter=None):
    """Make a FakeAdapter known by its name for one test; returns it."""
    adapter = adapter or FakeAdapter()
    name = adapter.facts.name
    plug_in(
        monkeypatch,
        "adapters",
        name.replace("-", "_"),
        MODELS={name: "a fake for tests"},
        VERSION=1,
        load=lambda name, device: adapter,
    )
    return adapter


def forget(planning):
    """Empty what the planner keeps within a process: another test has other plug-ins, or other files under the same name."""
    planning.load_adapter.cache_clear()
    planning.load_manifest.cache_clear()
    planning._built.clear()


# --- videos ------------------------------------------------------------------------------------------------------

LEVEL_STEP = 4  # grey levels between two frames: more than the codec's rounding
MAX_FRAMES = 54


def write_video(
    path, num_frames=8, size=(32, 48), colour=(128, 128, 128), codec="libx264", first=0, fps=10, options=None
):
    """Write a small video; the left half of frame i is grey level `16 + 4 (first + i)`, the right half is `colour`. Returns the path."""
    height, width = size
    if first + num_frames > MAX_FRAMES:
        raise ValueError(f"grey levels last for {MAX_FRAMES} frames")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        quality = {"crf": "4", "preset": "ultrafast"} if codec == "libx264" else {"qmin": "1", "qmax": "1"}
        stream = container.add_stream(codec, rate=fps, options={"threads": "1", **quality, **(options or {})})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(first, first + num_frames):
            picture = np.empty((height, width, 3), dtype=np.uint8)
            picture[:, : width // 2] = 16 + LEVEL_STEP * number
            picture[:, width // 2 :] = colour
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def frame_numbers(video):
    """uint8 `(T, H, W, 3)` of a `write_video` file -> which frames these are."""
    left = video[:, :, : video.shape[2] // 2 - 2].astype(float).mean(axis=(1, 2, 3))
    return np.rint((left - 16) / LEVEL_STEP).astype(int).tolist()


def write_classes(root, classes, per_class=6, num_frames=5, sides=("train", "test")):
    """ROOT/<side>/<class>/<n>.mp4 for the data set `folder`: each class has its colour, each video its first frame."""
    for c, name in enumerate(classes):
        for n, side in itertools.product(range(per_class), sides):
            shade = 30 + 5 * n + (2 if side == "test" else 0)
            colour = tuple(230 if channel == c % 3 else shade for channel in range(3))
            write_video(root / side / name / f"{side}_{name}_{n}.mp4", num_frames, first=n, colour=colour)
    return root
