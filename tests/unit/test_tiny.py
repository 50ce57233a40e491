"""The tiny backbones: open_clip classes, small files, a tokenizer that ends where CLIP pools, truthful captions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer, default_bpe
from safetensors import safe_open
from transformers import XCLIPModel

import adapters._tiny
from adapters._tiny import tokenizer
from adapters._tiny.captions import caption, clauses, shared_ngrams
from adapters._tiny.compositions import Sampler
from adapters._tiny.evaluate import class_logits, encode_videos, order
from adapters._tiny.model import CONTEXT, HERE, MEAN, MODEL_CFG, SIZE, STD, build, load, normalise, shrink, token_ids
from adapters._tiny.phrases import ARM_PHRASES, LEG_PHRASES, LEGS_BACK, TRUNK_PHRASES
from adapters._tiny.reversal import PAIRS, backwards, one_way
from adapters._tiny.train import RECIPES, draw
from adapters._tiny.warm_start import warm_start
from bench.datasets._actions import ACTIONS
from bench.datasets._clips import Body, Clip, Move
from bench.datasets._figure import render
from bench.datasets._motion import pose
from bench.datasets._primitives import ARMS, LEGS, TRUNK
from bench.knowledge import load as load_bank
from bench.knowledge import statements

FAMILIES = tuple(RECIPES)
# What is asked of each on the toy set with descriptions; chance is .071.
TOY_FLOOR = {"clip": 0.75, "siglip": 0.75, "eva_clip": 0.75, "xclip": 0.65}
BANKS = ("toy", "utkinect", "florence3d")
LIMIT_BYTES = 2_000_000


# --- tokenizer


def test_the_merges_are_the_head_of_clips_own() -> None:
    import gzip

    ours = gzip.decompress(tokenizer.MERGES.read_bytes()).decode().split("\n")
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as lines:
        theirs = [next(lines).rstrip("\n") for _ in range(len(ours))]
    assert ours == theirs and len(ours) == tokenizer.NUM_MERGES + 1
    assert tokenizer.cut_merges(default_bpe()) == tokenizer.MERGES.read_bytes()


def test_ids_are_in_the_vocabulary_and_the_end_is_the_highest() -> None:
    ids = tokenizer.encode("Both hands, raised: again & again; naïve 12")
    assert ids and max(ids) < tokenizer.START < tokenizer.END == tokenizer.VOCAB_SIZE - 1
    assert (
        SimpleTokenizer(bpe_path=str(tokenizer.MERGES)).decode(tokenizer.encode("the left hand")).strip()
        == "the left hand"
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", ["", "one hand", "one hand goes up " * 40])
def test_rows_have_start_end_and_padding(family: str, text: str) -> None:
    row = token_ids(family, [text])[0].tolist()
    body = tokenizer.encode(text)[: CONTEXT - (1 if family == "siglip" else 2)]
    start = [] if family == "siglip" else [tokenizer.START]
    used = [*start, *body, tokenizer.END]
    assert row == used + [tokenizer.PAD] * (CONTEXT - len(used))


# --- models and files


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("clip", open_clip.CLIP),
        ("siglip", open_clip.CustomTextCLIP),
        ("eva_clip", open_clip.CustomTextCLIP),
        ("xclip", XCLIPModel),
    ],
)
def test_the_files_fit_the_libraries_classes(family: str, kind: type) -> None:
    record = json.loads((HERE / f"{family}.json").read_text())
    weights = HERE / f"{family}.safetensors"
    assert weights.stat().st_size == record["bytes"] < LIMIT_BYTES
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == record["sha256"]
    assert record["model_cfg"] == json.loads(json.dumps(MODEL_CFG[family]))
    model = load(family)  # strict
    assert type(model) is kind and not model.training
    assert sum(p.numel() for p in model.parameters()) == record["parameters"]
    with safe_open(str(weights), "pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118 - no mapping
        assert set(file.keys()) == set(model.state_dict())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_record_says_how_the_weights_came_about(family: str) -> None:
    record = json.loads((HERE / f"{family}.json").read_text())
    pretraining = record["pretraining"]
    assert {"seed", "steps", "seconds", "stages"} <= set(pretraining)
    assert all({"seed", "rate", "steps", "seconds", "threads"} <= set(stage) for stage in pretraining["stages"])
    assert pretraining["steps"] == sum(stage["steps"] for stage in pretraining["stages"])
    assert {"size", "mean", "std", "interpolation"} <= set(record["preprocess"])
    toy = record["figures"]["toy"]
    assert toy["descriptions"] >= TOY_FLOOR[family] and toy["names"] <= 0.25
    assert abs(toy["shuffled"] - toy["chance"]) <= 0.05
    for name, floor in (("utkinect", 0.33), ("florence3d", 0.22)):
        real = record["figures"][name]
        assert real["descriptions"] >= floor and real["descriptions"] > real["names"]


def test_clip_pools_at_the_end_and_sees_nothing_behind_it() -> None:
    model = load("clip")
    ids = token_ids("clip", ["one hand goes up"])
    end = int((ids[0] == tokenizer.END).nonzero())
    behind, before = ids.clone(), ids.clone()
    behind[0, end + 1 :] = 7
    before[0, end - 1] = 7
    with torch.inference_mode():
        plain = model.encode_text(ids)
        torch.testing.assert_close(model.encode_text(behind), plain)
        assert (model.encode_text(before) - plain).abs().max() > 1e-3


def test_siglip_attends_to_everything_and_pools_last() -> None:
    model = load("siglip")
    ids = token_ids("siglip", ["one hand goes up"])
    with torch.inference_mode():
        plain = model.encode_text(ids)
        for position in (0, CONTEXT - 1):
            other = ids.clone()
            other[0, position] = 7
            assert (model.encode_text(other) - plain).abs().max() > 1e-3
    assert model.logit_bias is not None and float(model.logit_bias.detach()) < 0


def test_siglip_starts_from_clip() -> None:
    clip, siglip = build("clip"), build("siglip")
    warm_start("siglip", siglip, clip.state_dict())
    torch.testing.assert_close(siglip.visual.proj, clip.visual.proj)
    torch.testing.assert_close(siglip.text.text_projection.weight, clip.text_projection.T)
    torch.testing.assert_close(siglip.text.token_embedding.weight, clip.token_embedding.weight)
    assert float(siglip.logit_scale.detach()) == pytest.approx(np.log(10), abs=1e-4)


def test_pixels_have_the_datas_own_mean_and_spread() -> None:
    sampler, rng = Sampler(3), np.random.default_rng(3)
    joints = pose([sampler.clip() for _ in range(60)], rng.random((60, 2)), rng)
    pixels = normalise(np.concatenate([shrink(render(clip)) for clip in joints]))
    assert pixels.shape == (120, 3, SIZE, SIZE) and len(MEAN) == len(STD) == 3
    assert pixels.mean((0, 2, 3)).abs().max() < 0.1
    assert (pixels.std((0, 2, 3)) - 1).abs().max() < 0.15


def test_eva_and_xclip_start_from_clips_text_tower_and_patches() -> None:
    clip, eva, xclip = build("clip"), build("eva_clip"), build("xclip")
    assert warm_start("eva_clip", eva, clip.state_dict()) > 60
    assert warm_start("xclip", xclip, clip.state_dict()) > 60
    ids = token_ids("clip", ["one hand goes up", "both legs bend"])
    with torch.inference_mode():
        torch.testing.assert_close(eva.encode_text(ids), clip.eval().encode_text(ids))
    torch.testing.assert_close(eva.visual.trunk.patch_embed.proj.weight, clip.visual.conv1.weight)
    torch.testing.assert_close(xclip.vision_model.embeddings.patch_embedding.weight, clip.visual.conv1.weight)
    query = clip.transformer.resblocks[1].attn.in_proj_weight[:96]
    torch.testing.assert_close(xclip.text_model.encoder.layers[1].self_attn.q_proj.weight, query)


def test_a_narrower_perceptron_keeps_the_units_that_matter() -> None:
    clip, xclip = build("clip"), build("xclip")
    old = clip.transformer.resblocks[0].mlp
    with torch.no_grad():
        old.c_fc.weight[256:] *= 1e-3  # 384 units, of which the first 256 are kept
    warm_start("xclip", xclip, clip.state_dict())
    new = xclip.text_model.encoder.layers[0].mlp
    x = torch.randn(5, 96)
    kept = torch.nn.functional.linear(torch.relu(old.c_fc(x))[:, :256], old.c_proj.weight[:, :256], old.c_proj.bias)
    torch.testing.assert_close(new.fc2(torch.relu(new.fc1(x))), kept)


@pytest.fixture(scope="module", params=FAMILIES)
def adapter(request):
    return adapters._tiny.load(request.param, f"tiny-{request.param}", request.param, 1, "cpu")


def test_descriptions_are_understood_and_names_and_wrong_descriptions_are_not(adapter) -> None:
    rng, repeats = np.random.default_rng(5), 6
    clips = [
        Clip(body=replace(Body(), yaw=float(rng.uniform(-0.8, 0.8))), moves=moves)
        for moves in ACTIONS.values()
        for _ in range(repeats)
    ]
    joints = pose(clips, np.repeat((np.arange(8)[None] + 0.5) / 8, len(clips), axis=0), rng)
    labels = torch.arange(len(ACTIONS)).repeat_interleave(repeats)
    features = encode_videos(adapter, [render(clip) for clip in joints])

    def accuracy(texts: tuple[tuple[str, ...], ...]) -> float:
        return float((class_logits(adapter, features, texts).argmax(1) == labels).float().mean())

    described = statements("toy", tuple(ACTIONS))
    assert accuracy(described) > 0.55
    assert accuracy(tuple((name,) for name in ACTIONS)) < 0.35
    assert accuracy(described[1:] + described[:1]) < 0.3


def test_only_xclip_sees_the_order_of_frames(adapter) -> None:
    found = order(adapter)
    if adapter.facts.fixed_num_frames:
        assert found["mean"] >= 0.70 and found["largest_change"] > 0.01
    else:  # a mean over frames does not move when they are turned round
        assert found["largest_change"] <= 1e-6
        assert found["mean"] == pytest.approx(0.5, abs=0.02)


# --- clips and the same backwards


def test_backwards_and_back_again_is_the_clip() -> None:
    sampler = Sampler(4)
    for _ in range(50):
        clip = one_way(sampler)
        assert {move.mode for move in clip.moves} <= {"once", "lower", "hold"}
        assert any(move.mode in ("once", "lower") for move in clip.moves)
        assert backwards(clip) != clip and backwards(backwards(clip)) == clip


def test_a_clip_backwards_ends_where_it_began() -> None:
    for pair in PAIRS:
        clip = Clip(body=Body(), moves=pair.moves)
        first, last = (pose([c], np.array([[0.0, 1.0]]), np.random.default_rng(1))[0] for c in (clip, backwards(clip)))
        np.testing.assert_allclose(first[0], last[1], atol=0.02)
        assert np.abs(first[0] - first[1]).max() > 0.1


def test_a_batch_holds_its_share_of_reversed_pairs() -> None:
    recipe = RECIPES["xclip"]
    clips = draw(recipe, Sampler(2))
    pairs = int(recipe.batch * recipe.reversed_share / 2)
    assert len(clips) == recipe.batch and pairs == 10
    assert all(clips[2 * i + 1] == backwards(clips[2 * i]) for i in range(pairs))
    assert len(draw(RECIPES["clip"], Sampler(2))) == RECIPES["clip"].batch


def test_statements_of_reversed_actions_never_name_them() -> None:
    for pair in PAIRS:
        for name, texts in zip(pair.names, pair.statements, strict=True):
            assert len(texts) >= 2 and len(set(texts)) == len(texts)
            assert not any(name in text for text in texts)


# --- captions and banks


def test_there_are_words_for_every_primitive() -> None:
    assert set(ARM_PHRASES) == set(ARMS) and set(LEG_PHRASES) == set(LEGS) and set(TRUNK_PHRASES) == set(TRUNK)
    for table in (ARM_PHRASES, LEG_PHRASES, TRUNK_PHRASES):
        assert all(phrases.moves and phrases.does for phrases in table.values())
    assert {"seat", "squat", "kneel"} <= set(LEGS_BACK) <= set(LEGS)


def test_captions_are_whole_sentences_that_mostly_fit() -> None:
    sampler, rng = Sampler(11), np.random.default_rng(11)
    texts = [caption(sampler.clip(), rng) for _ in range(1500)]
    assert not any(mark in text for text in texts for mark in "[]{}|")
    assert len(set(texts)) > 1350
    assert np.mean([len(tokenizer.encode(text)) > CONTEXT - 2 for text in texts]) < 0.1


def test_captions_say_what_moves() -> None:
    rng = np.random.default_rng(0)
    arms = tuple(Move(part=part, primitive="overhead", mode="hold") for part in ("left_arm", "right_arm"))
    for _ in range(30):
        active, idle = clauses(arms, rng)
        assert len(active) == 1 and len(idle) == 2  # both arms are one clause; the legs and the trunk are idle
        assert any(word in active[0] for word in ("both", "two", "the hands", "the arms", "s ", "left and right"))
        active, idle = clauses([arms[0], Move(part="trunk", primitive="bend", mode="hold")], rng)
        assert len(active) == 2 and len(idle) == 2


def test_the_same_seed_gives_the_same_captions() -> None:
    def some() -> list[str]:
        sampler, rng = Sampler(2), np.random.default_rng(2)
        return [caption(sampler.clip(), rng) for _ in range(20)]

    assert some() == some()


def test_shared_ngrams_are_counted() -> None:
    bank = {"a": ["One hand goes up to the ear."], "b": ["the legs stay still"]}
    captions = ["then one hand goes up to, slowly", "nothing"]
    assert shared_ngrams(bank, captions) == (1, 3, ["one hand goes up to"])
    assert shared_ngrams(bank, captions, n=4)[0] == 2


@pytest.mark.parametrize("name", BANKS)
def test_banks_are_hand_written_short_and_never_name_their_class(name: str) -> None:
    bank = load_bank(name)
    assert "hand" in bank.about
    for label, rows in bank.classes.items():
        assert sum(row.kind == "motion" for row in rows) >= 4 and len(rows) >= 5
        assert len({row.text for row in rows}) == len(rows)
        for row in rows:
            assert label not in row.text.lower(), f"{row.text!r} names {label!r}"
            # Room for start, end and eight context vectors.
            assert len(tokenizer.encode(row.text)) + 10 <= CONTEXT


def test_the_toy_bank_has_the_toy_classes_and_never_a_word_of_their_names() -> None:
    bank = load_bank("toy")
    assert set(bank.classes) == set(ACTIONS)
    for label, rows in bank.classes.items():
        for row in rows:
            assert not set(label.split()) & set(row.text.lower().rstrip(".").split())
