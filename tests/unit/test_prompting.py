import pytest
import torch
from fakes import LENGTH, WIDTH, FakeAdapter

from bench import prompting
from bench.contracts import TEXT, NotApplicable
from bench.prompting import encode, flatten, initial_context, mean_by_class, prepare, with_context

TEXTS = ("a person waves", "someone sits down slowly on a chair", "jump")


@pytest.fixture
def adapter():
    return FakeAdapter()


def context(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_without_context_it_is_the_plain_text_tower(adapter):
    prompts = prepare(adapter, TEXTS, 0)
    torch.testing.assert_close(encode(adapter, prompts, torch.zeros(0, WIDTH)), adapter.encode_text(TEXTS))


@pytest.mark.parametrize("shape", [(4, WIDTH), (3, 4, WIDTH)], ids=["shared", "a text's own"])
def test_cutting_behind_the_longest_text_changes_nothing(adapter, shape):
    vectors = context(*shape)
    cut = prepare(adapter, TEXTS, 4)
    assert cut.embeddings.shape[1] == 4 + 7 + 1 < LENGTH
    tokens = adapter.tokenize(TEXTS, 4)
    whole = adapter.embed_tokens(tokens)
    whole[:, :4] = vectors
    torch.testing.assert_close(
        encode(adapter, cut, vectors), adapter.encode_embedded(whole, tokens), rtol=1e-5, atol=1e-5
    )


def test_a_tower_that_looks_at_its_padding_is_left_whole(adapter):
    adapter.facts = adapter.facts.__class__(**{**vars(adapter.facts), "causal_text": False})
    assert prepare(adapter, TEXTS, 4).embeddings.shape[1] == LENGTH


def test_context_goes_where_the_adapter_says_and_nowhere_else(adapter):
    prompts = prepare(adapter, TEXTS, 3)
    embeddings = with_context(prompts, torch.full((3, WIDTH), 7.0))
    assert (embeddings[:, :3] == 7).all()
    assert torch.equal(embeddings[:, 3:], prompts.embeddings[:, 3:])
    assert not (prompts.embeddings[:, :3] == 7).any(), "the prepared embeddings are used again in the next step"


def test_a_texts_own_context_reaches_that_text_only(adapter):
    prompts, vectors = prepare(adapter, TEXTS, 2), context(3, 2, WIDTH)
    before, changed = encode(adapter, prompts, vectors), vectors.clone()
    changed[1] += 1
    after = encode(adapter, prompts, changed)
    assert torch.equal(after[[0, 2]], before[[0, 2]]) and not torch.allclose(after[1], before[1])


def test_gradients_reach_the_context_and_nothing_else(adapter):
    vectors = context(4, WIDTH).requires_grad_()
    prompts = prepare(adapter, TEXTS, 4)
    encode(adapter, prompts, vectors).square().sum().backward()
    assert (vectors.grad.abs().sum(dim=1) > 0).all()
    assert not prompts.embeddings.requires_grad
    assert all(p.grad is None for p in adapter.module.parameters())


@pytest.mark.parametrize("shape", [(3, WIDTH), (9, 3, WIDTH)])
def test_chunks_give_what_one_call_gives(adapter, shape, monkeypatch):
    texts = [f"{text} {i}" for i in range(3) for text in TEXTS]
    prompts, vectors = prepare(adapter, texts, 3), context(*shape)
    whole = encode(adapter, prompts, vectors)
    monkeypatch.setattr(prompting, "CHUNK_TEXTS", 4)
    torch.testing.assert_close(encode(adapter, prompts, vectors), whole)


def test_context_of_another_length_than_its_places_is_an_error(adapter):
    with pytest.raises(ValueError, match="5 context vectors for 4 free positions"):
        with_context(prepare(adapter, TEXTS, 4), context(5, WIDTH))


def test_a_backbone_without_a_text_tower_for_prompts_is_not_applicable():
    with pytest.raises(NotApplicable, match="blind has no text tower that gradients can flow through"):
        prepare(FakeAdapter("blind", capabilities=frozenset({TEXT})), TEXTS, 4)


def test_the_first_context_is_small_of_the_towers_width_and_drawn_by_the_generator(adapter):
    made = [initial_context(adapter, 200, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert made[0].shape == (200, WIDTH) and made[0].dtype == torch.float32
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert made[0].std().item() == pytest.approx(0.02, rel=0.05) and abs(made[0].mean().item()) < 0.002


def test_flatten_knows_the_owner_of_each_text():
    texts, owner = flatten([("a", "b"), ("c",), ("d", "e", "f")])
    assert texts == ["a", "b", "c", "d", "e", "f"] and owner.tolist() == [0, 0, 1, 2, 2, 2]


def test_a_class_gets_the_mean_of_its_statements_however_many_they_are():
    logits = torch.tensor([[1.0, 3.0, 10.0], [0.0, 2.0, -4.0]])
    assert mean_by_class(logits, torch.tensor([0, 0, 1]), 2).tolist() == [[2.0, 10.0], [1.0, -4.0]]


def test_the_mean_does_not_depend_on_the_order_of_statements():
    logits, owner, order = torch.randn(5, 6), torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([5, 2, 0, 4, 1, 3])
    torch.testing.assert_close(mean_by_class(logits[:, order], owner[order], 3), mean_by_class(logits, owner, 3))
