"""The fast text path against a plain, slow forward on the four text towers at their real size, with random weights.

Loss, features and the gradient of the context, in float32, to 1e-5 of the largest value. Run with -s to see the figures. The visual
towers are small, since no prompt passes through them. The plain forward puts texts and context together by itself, takes every text at
its full length and shares nothing; that its tower is the library's own forward is shown in tests/contract.
"""

import copy
import gc
import zlib

import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer
from transformers import XCLIPConfig, XCLIPModel

from adapters._open_clip import FrameTransform, OpenClipAdapter, build
from adapters._text import BytePairs
from adapters._xclip import XclipAdapter
from bench import prompting
from bench.contracts import layered_text
from bench.prompting import encode, flatten, initial_context, mean_by_class, prepare

TOLERANCE = 1e-5
NUM_CONTEXT = 16
LOGIT_SCALE = 100  # what the released models came to
STATEMENTS = (
    ("a person waves", "a person waves with one raised hand", "the arm swings from side to side"),
    ("a person sits down", "a person sits down slowly on a wooden chair, both knees bent", "sitting"),
    ("jump", "both feet leave the floor at the same time and land again a moment later", "a person waves"),
    ("a person walks", "walks " * 100, ""),  # one that loses its tail, and one of no words
)
TEXTS, OWNER = flatten(STATEMENTS)
CLASSES = len(STATEMENTS)
OPEN_CLIP = {"CLIP": "ViT-B-16", "EVA-CLIP": "EVA02-B-16", "SigLIP": "ViT-B-16-SigLIP"}
# Width, layers, heads, tokens, vocabulary, joint size.
SIZES = {
    "CLIP": (512, 12, 8, 77, 49408, 512),
    "EVA-CLIP": (512, 12, 8, 77, 49408, 512),
    "X-CLIP": (512, 12, 8, 77, 49408, 512),
    "SigLIP": (768, 12, 12, 64, 32000, 768),
}
# Where the context stands, whether classes have their own, whether memory asks for several chunks.
CASES = {
    "before, shared": ("before", False, False),
    "before, shared, in chunks": ("before", False, True),
    "around, a class its own": ("around", True, False),
    "after, shared": ("after", False, False),
}


class Words:
    """Any ids of SigLIP's vocabulary, a word the same one each time: the files of its own tokenizer do not come with a library."""

    start, end, pad = None, 1, 1

    def encode(self, text):
        return [2 + zlib.crc32(word.encode()) % 31998 for word in text.split()]


def facts(family):
    said = {"name": f"{family} (random)", "family": family, "architecture": family, "weights": "drawn", "version": 1}
    frames = {} if family == "X-CLIP" else {"num_frames": 8}  # X-CLIP's model says it
    return {**said, **frames, "weights_sha256": "0" * 64, "pretraining": "none", "licence": "none"}


def real_tower(family):
    """An adapter with the family's text tower as released, all of it drawn: biases and scales too, which libraries start at 0 and 1."""
    torch.manual_seed(list(SIZES).index(family))
    if family == "X-CLIP":
        vision = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1}
        model = XCLIPModel(XCLIPConfig(vision_config=vision))
    else:
        cfg = copy.deepcopy(open_clip.get_model_config(OPEN_CLIP[family]))
        cfg["vision_cfg"] = {"image_size": 224, "layers": 1, "width": 64, "patch_size": 112}
        model = build(cfg)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.02 * torch.randn_like(parameter))
    kind = XclipAdapter if family == "X-CLIP" else OpenClipAdapter
    tokenizer = Words() if family == "SigLIP" else BytePairs(SimpleTokenizer())
    return kind(model, FrameTransform((224, 224), (0.5,) * 3, (0.5,) * 3), tokenizer, facts(family), "cpu")


@pytest.fixture(scope="module", params=SIZES)
def tower(request):
    """The family, its adapter, and what the plain forward has given so far."""
    yield request.param, real_tower(request.param), {}
    gc.collect()


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def first_context(adapter, own):
    sets = [initial_context(adapter, NUM_CONTEXT, torch.Generator().manual_seed(n)) for n in range(CLASSES)]
    return torch.stack(sets) if own else sets[0]


def plain(adapter, context, place):
    """Text features `(P, D)` the slow way: each text's embeddings and its context in a row, at full length, one text after another."""
    tokens, features = adapter.tokenize(TEXTS, NUM_CONTEXT), []
    first = {"before": NUM_CONTEXT, "around": NUM_CONTEXT // 2, "after": 0}[place]
    for n, text in enumerate(TEXTS):
        one = tokens.select(slice(n, n + 1))
        row, head = adapter.embed_tokens(one)[0], int(one.context[0, 0])
        vectors = context if context.dim() == 2 else context[OWNER[n]]
        begin = head + NUM_CONTEXT
        end = begin + int(one.num_text[0])
        put = torch.cat([row[:head], vectors[:first], row[begin:end], vectors[first:], row[end:]])
        assert len(put) == adapter.facts.context_length, text
        features.append(adapter.encode_embedded(put[None], one))
    return torch.cat(features)


def step(work, context):
    """Loss, features and gradient of a training step."""
    leaf = context.clone().requires_grad_()
    text = work(leaf)
    videos = F.normalize(draw(8, text.shape[1], seed=7), dim=1)
    logits = mean_by_class(LOGIT_SCALE * videos @ F.normalize(text, dim=1).T, OWNER, CLASSES)
    loss = F.cross_entropy(logits, torch.arange(8) % CLASSES)
    loss.backward()
    return {"loss": loss.detach(), "features": text.detach(), "gradient": leaf.grad}


def apart(found, wanted):
    assert found.shape == wanted.shape and found.dtype == wanted.dtype == torch.float32
    assert found.isfinite().all() and float(wanted.abs().max()) > 0
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_the_tower_has_its_real_size(tower):
    family, adapter, _ = tower
    width, layers, heads, length, vocabulary, joint = SIZES[family]
    taken = adapter.text_layers()
    assert [layer.num_heads for layer in taken.layers] == [heads] * layers
    assert taken.positions.shape == (length, width) and adapter.facts.context_length == length
    assert adapter.facts.embed_dim == joint and layered_text(adapter) is not None
    assert any(p.shape == (vocabulary, width) for p in adapter.module.parameters())
    assert adapter.facts.causal_text is (family != "SigLIP")


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_the_plain_forward(tower, case, monkeypatch, capsys):
    family, adapter, known = tower
    place, own, chunks = CASES[case]
    context = first_context(adapter, own)
    if (place, own) not in known:
        known[place, own] = step(lambda c: plain(adapter, c, place), context)
    if chunks:
        width, layers, _, length, *_ = SIZES[family]
        most = 5 * length if family == "SigLIP" else length  # tokens a chunk: five texts, or part of the tree
        monkeypatch.setattr(prompting, "MEMORY_BYTES", most * prompting._bytes_a_token(width, layers))
    prompts = prepare(adapter, TEXTS, NUM_CONTEXT, OWNER.tolist() if own else None, place)
    assert (len(prompts.chunks) > 1) is chunks and prompts.num_cut == 1
    found = step(lambda c: encode(adapter, prompts, c), context)
    errors = {what: apart(found[what], wanted) for what, wanted in known[place, own].items()}
    with capsys.disabled():
        told = "   ".join(f"{what} {error:.1e}" for what, error in errors.items())
        saved = f"{prompts.tokens_a_step} of {prompts.tokens_whole} tokens in {len(prompts.chunks)} chunks"
        print(f"\n  {family:9} {case:26} {told}   {saved}", end="")
    assert max(errors.values()) <= TOLERANCE


def test_a_tower_that_sees_its_padding_takes_no_cut_and_says_so(tower):
    family, adapter, _ = tower
    prompts = prepare(adapter, TEXTS, NUM_CONTEXT)
    assert prompts.tokens_whole == len(TEXTS) * adapter.facts.context_length
    if family == "SigLIP":
        assert prompts.tokens_a_step == prompts.tokens_whole
        assert prompts.why_whole == (
            "SigLIP (random) attends to its padding: every text is computed at its full 64 tokens"
        )
    else:
        assert prompts.tokens_a_step < prompts.tokens_whole / 2 and prompts.why_whole == ""
