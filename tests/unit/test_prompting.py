"""Prompts through the text tower: by the tree, cut, or whole, in chunks or at once, always what the plain forward gives."""

import dataclasses

import pytest
import torch
from fakes import LENGTH, WIDTH, FakeAdapter, LayeredFake

from bench import packing, prompting
from bench.contracts import TEXT, BenchError, NotApplicable
from bench.planning import load_adapter
from bench.prompting import PLACES, encode, flatten, initial_context, mean_by_class, moved, prepare

TEXTS = (
    "a person waves",
    "a person waves with one hand",
    "someone sits down slowly on a chair",
    "jump",
    "a person waves",
    "",
)
OWN = (2, 0, 2, 1, 1, 0)
TINY = ("tiny-clip", "tiny-siglip", "tiny-eva-clip", "tiny-xclip")


class Padded(FakeAdapter):
    """Says that it attends to its padding."""

    def __init__(self):
        super().__init__()
        self.facts = dataclasses.replace(self.facts, causal_text=False)


def made(name):
    kinds = {"fake": FakeAdapter, "layered": LayeredFake, "padded": Padded}
    return kinds[name]() if name in kinds else load_adapter(name)


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain(adapter, texts, context, own=None, place="before"):
    """The slow way: every text at its full length, by the adapter's own tower."""
    tokens = moved(adapter.tokenize(texts, context.shape[-2]), place)
    values = context.expand(len(texts), -1, -1) if own is None else context[torch.tensor(own)]
    rows = torch.arange(len(texts))[:, None]
    return adapter.encode_embedded(adapter.embed_tokens(tokens).index_put((rows, tokens.context), values), tokens)


def with_gradient(work, context):
    """Features, and the gradient of a sum in which each of them counts otherwise."""
    leaf = context.clone().requires_grad_()
    text = work(leaf)
    (text * draw(*text.shape, seed=2)).sum().backward()
    return text.detach(), leaf.grad


def assert_equal(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape and float((a - b).abs().max()) <= 1e-5 * float(b.abs().max())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("own", [None, OWN], ids=["shared", "own"])
@pytest.mark.parametrize("name", ["fake", "layered", "padded", *TINY])
def test_features_and_gradients_are_those_of_the_plain_forward(name, own, place):
    adapter = made(name)
    width = adapter.embed_tokens(adapter.tokenize(["a"])).shape[-1]
    context = draw(*(() if own is None else (3,)), 5, width) * 0.1
    prompts = prepare(adapter, TEXTS, 5, own, place)
    fast = with_gradient(lambda c: encode(adapter, prompts, c), context)
    assert_equal(fast, with_gradient(lambda c: plain(adapter, TEXTS, c, own, place), context))
    assert_equal(fast, with_gradient(lambda c: encode(adapter, prompts, c), context))  # nothing is used up


@pytest.mark.parametrize("own", [None, OWN], ids=["shared", "own"])
@pytest.mark.parametrize("name", ["fake", "layered", "padded"])
def test_chunks_give_what_one_step_gives(name, own, monkeypatch):
    adapter = made(name)
    context = draw(*(() if own is None else (3,)), 4, WIDTH)
    whole = prepare(adapter, TEXTS, 4, own)
    monkeypatch.setattr(prompting, "MEMORY_BYTES", 14 * prompting._bytes_a_token(WIDTH, 2))
    parts = prepare(adapter, TEXTS, 4, own)
    assert len(whole.chunks) == 1 < len(parts.chunks)
    results = [with_gradient(lambda c, p=p: encode(adapter, p, c), context) for p in (parts, whole)]
    assert_equal(*results)


def test_chunks_keep_one_chunk_for_the_gradient(monkeypatch):
    adapter, kept = made("layered"), []

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    def count(prompts):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            encode(adapter, prompts, draw(4, WIDTH).requires_grad_())
        return sum(kept)

    whole = count(prepare(adapter, TEXTS, 4))
    monkeypatch.setattr(prompting, "MEMORY_BYTES", 1)
    assert count(prepare(adapter, TEXTS, 4)) < whole / 5


@pytest.mark.parametrize("place", ["before", "after"])
def test_no_chunk_keeps_more_for_the_gradient_than_it_may(place, monkeypatch):
    """Behind its text a context is all that is computed anew, but attention gathers the keys of the whole text for each."""
    adapter, most = made("tiny-clip"), 4 * 2**20
    words = [f"{a} {b} {c}" for a in ("left", "right") for b in ("hand", "arm", "leg") for c in ("up", "down", "still")]
    texts = [
        f"the person holds the {w} and then turns the {v} slowly to the other side" for w in words for v in words[:8]
    ]
    frozen = {p.untyped_storage().data_ptr() for p in adapter.module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in frozen:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    monkeypatch.setattr(prompting, "MEMORY_BYTES", most)
    prompts = prepare(adapter, texts, 2, place=place)
    width = adapter.embed_tokens(adapter.tokenize(["a"])).shape[-1]
    assert len(prompts.chunks) > 2
    for chunk in prompts.chunks:
        kept.clear()
        context = draw(1, 2, width).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            whole = prompting._encode(adapter, chunk, context, None)  # what keeps it alive
        assert sum(kept.values()) <= most, (len(chunk.rows), sum(kept.values()) / most)
        del whole


# --- what is computed --------------------------------------------------------------------------------------------


def test_a_shared_context_and_shared_beginnings_are_computed_once():
    # 4 context vectors; "a person waves" END, "with one hand" END, "someone ... chair" END, "jump" END, END
    assert prepare(made("layered"), TEXTS, 4).tokens_a_step == 4 + 4 + 4 + 8 + 2 + 1
    assert prepare(made("layered"), TEXTS, 4).tokens_whole == len(TEXTS) * LENGTH


def test_a_context_of_its_own_is_computed_once_for_all_texts_that_take_it():
    own = (0, 0, 0, 1, 1, 1)
    assert prepare(made("layered"), TEXTS, 4, own).tokens_a_step == 2 * 4 + (4 + 4 + 8) + (2 + 4 + 1)


def test_what_stands_in_front_of_the_context_is_not_computed_again():
    # of each of the five different texts only the context and the end are left
    assert prepare(made("layered"), TEXTS, 4, place="after").tokens_a_step == 5 * (4 + 1)
    clip = load_adapter("tiny-clip")
    text = int(clip.tokenize(["jump"]).num_text)
    assert prepare(clip, ["jump"], 4).tokens_a_step == 4 + text + 1, "the start token is frozen too"


def test_a_tower_that_is_not_taken_apart_is_cut_and_one_that_sees_its_padding_is_whole():
    cut, whole = prepare(made("fake"), TEXTS, 4), prepare(made("padded"), TEXTS, 4)
    assert cut.tokens_a_step == len(TEXTS) * (4 + 7 + 1) and not cut.why_whole
    assert whole.tokens_a_step == whole.tokens_whole == len(TEXTS) * LENGTH
    assert "attends to its padding" in whole.why_whole and str(LENGTH) in whole.why_whole


def test_the_last_layer_goes_on_with_the_pooled_tokens_alone():
    adapter, finished = made("layered"), []
    tower = adapter.text_layers()

    def watched(layer):
        def finish(x, attended):
            finished.append(len(x))
            return layer.finish(x, attended)

        return dataclasses.replace(layer, finish=finish)

    adapter.text_layers = lambda: dataclasses.replace(tower, layers=[watched(layer) for layer in tower.layers])
    prompts = prepare(adapter, TEXTS, 4)
    finished.clear()
    encode(adapter, prompts, draw(4, WIDTH))
    assert finished == [prompts.tokens_a_step, len(TEXTS)]


# --- where the context stands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "in_front", "then"),
    [("before", 4, 0), ("around", 2, None), ("middle", 0, 0.5), ("after", 0, None)],
)
@pytest.mark.parametrize("name", ["fake", "tiny-clip", "tiny-siglip"])
def test_a_context_stands_where_it_was_asked_for(name, place, in_front, then):
    adapter, text = made(name), ["one hand goes up, then down"]
    bare, before = adapter.tokenize(text), adapter.tokenize(text, 4)
    tokens = moved(before, place)
    num, head = int(bare.num_text), int(before.context[0, 0])
    own = bare.ids[0, head : head + num].tolist()
    cut = num if then is None else int(num * then)  # tokens of the text between the two parts of the context
    shown = [None if p in tokens.context[0] else int(tokens.ids[0, p]) for p in range(head, head + num + 4)]
    assert num >= 5 and shown == [None] * in_front + own[:cut] + [None] * (4 - in_front) + own[cut:]
    assert tokens.context[0].tolist() == sorted(set(tokens.context[0].tolist())) and torch.equal(
        tokens.pool, before.pool
    )
    assert torch.equal(tokens.ids[0, head + num + 4 :], before.ids[0, head + num + 4 :])


def test_a_place_that_does_not_exist_or_cannot_be_found_is_an_error():
    with pytest.raises(BenchError, match="unknown place 'behind'.*before, around, middle, after"):
        prepare(made("fake"), TEXTS, 4, place="behind")
    tokens = dataclasses.replace(made("fake").tokenize(TEXTS, 4), num_text=None)
    with pytest.raises(BenchError, match="do not say how long their texts are"):
        moved(tokens, "after")


# --- the rest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fake", "layered"])
def test_without_context_it_is_the_plain_text_tower(name):
    adapter = made(name)
    found = encode(adapter, prepare(adapter, TEXTS, 0), torch.zeros(0, WIDTH))
    torch.testing.assert_close(found, adapter.encode_text(TEXTS))


def test_gradients_reach_the_context_and_nothing_else():
    adapter, vectors = made("layered"), draw(4, WIDTH).requires_grad_()
    encode(adapter, prepare(adapter, TEXTS, 4), vectors).square().sum().backward()
    assert (vectors.grad.abs().sum(dim=1) > 0).all()
    assert all(p.grad is None for p in adapter.module.parameters())


@pytest.mark.parametrize("shape", [(5, WIDTH), (3, 4, WIDTH)])
def test_a_context_of_another_shape_than_its_places_is_an_error(shape):
    with pytest.raises(ValueError, match="for prompts with 4 free positions"):
        encode(made("fake"), prepare(made("fake"), TEXTS, 4), draw(*shape))
    with pytest.raises(ValueError, match="contexts of their own"):
        encode(made("fake"), prepare(made("fake"), TEXTS, 4, OWN), draw(4, WIDTH))
    with pytest.raises(ValueError, match="2 contexts for prompts that take 3"):
        encode(made("fake"), prepare(made("fake"), TEXTS, 4, OWN), draw(2, 4, WIDTH))


@pytest.mark.parametrize("own", [OWN[:-1], (*OWN, 0), (0, 0, 0, -1, 0, 0), ()])
def test_each_text_takes_one_context_that_is_there(own):
    with pytest.raises(ValueError, match=f"{len(own)} contexts of their own for 6 texts, or a negative one"):
        prepare(made("fake"), TEXTS, 4, own)


def test_buckets_of_any_coarseness_give_the_same(monkeypatch):
    adapter, context = made("layered"), draw(4, WIDTH)
    found = []
    for step in (1, 3, 100):
        monkeypatch.setattr(packing, "STEP", step)
        prompts = prepare(adapter, TEXTS, 4)
        found.append(encode(adapter, prompts, context))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


def test_an_adapter_without_prompts_is_not_applicable():
    with pytest.raises(NotApplicable, match="gradients can flow through"):
        prepare(FakeAdapter("blind", capabilities=frozenset({TEXT})), TEXTS, 4)


def test_the_first_context_is_small_of_the_towers_width_and_drawn_by_the_generator():
    drawn = [initial_context(FakeAdapter(), 200, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert drawn[0].shape == (200, WIDTH) and drawn[0].dtype == torch.float32
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert drawn[0].std().item() == pytest.approx(0.02, rel=0.05) and abs(drawn[0].mean().item()) < 0.002


def test_flatten_knows_the_owner_of_each_text():
    texts, owner = flatten([("a", "b"), ("c",), ("d", "e", "f")])
    assert texts == ["a", "b", "c", "d", "e", "f"] and owner.tolist() == [0, 0, 1, 2, 2, 2]


def test_a_class_gets_the_mean_of_its_statements_however_many_they_are():
    logits = torch.tensor([[1.0, 3.0, 10.0], [0.0, 2.0, -4.0]])
    assert mean_by_class(logits, torch.tensor([0, 0, 1]), 2).tolist() == [[2.0, 10.0], [1.0, -4.0]]


def test_the_mean_does_not_depend_on_the_order_of_statements():
    logits, owner, order = torch.randn(5, 6), torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([5, 2, 0, 4, 1, 3])
    torch.testing.assert_close(mean_by_class(logits[:, order], owner[order], 3), mean_by_class(logits, owner, 3))
