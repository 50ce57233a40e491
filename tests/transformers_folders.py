"""Small models of transformers in folders, as its own `save_pretrained` leaves them."""

import json

import numpy as np
import tokenizers
import torch
import transformers
from open_clip.tokenizer import SimpleTokenizer
from transformers import CLIPConfig, SiglipConfig, XCLIPConfig, XCLIPModel

from adapters._tiny.tokenizer import MERGES
from bench import checks, plugins

XCLIPS = [
    name for name, card in plugins.find("adapters", "xclip-base-patch32").MODELS.items() if not isinstance(card, str)
]


# Of the published folders, written by transformers 4.22.
PREPROCESSING = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "VideoMAEFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "size": {"shortest_edge": 224},
}


def close(own, their):
    """1e-5 of the largest value, or of 1."""
    torch.testing.assert_close(own, their, atol=1e-5 * max(1.0, float(their.abs().max())), rtol=0)


def save(folder, model, preprocessing=PREPROCESSING, tokenizer=None):
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def videos(adapter, num):
    """What the adapter makes of different frames, `(N, T, 3, h, w)`."""
    count = adapter.facts.num_frames
    frames = np.random.default_rng(5).integers(0, 256, (num, count, 60, 80, 3), dtype=np.uint8)
    return torch.stack([adapter.transform(f) for f in frames])


def small_xclip(frames=8, vocabulary=49408, size=224):
    torch.manual_seed(0)
    width = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    mit = {"mit_hidden_size": 32, "mit_intermediate_size": 64, "mit_num_attention_heads": 4}
    return XCLIPModel(
        XCLIPConfig(
            text_config={**width, "vocab_size": vocabulary},
            vision_config={**width, **mit, "image_size": size, "patch_size": 32, "num_frames": frames},
            projection_dim=32,
        )
    ).eval()


def load(name):
    return plugins.find("adapters", name).load(name, "cpu")


WIDTH = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}


WORDS = sorted({word for text in checks.TEXTS for word in text.split()})


def clip_tokenizer(inner):
    """transformers' own CLIP tokenizer with the vocabulary and merges of open_clip's."""
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    merges = sorted(inner.bpe_ranks, key=inner.bpe_ranks.get)
    return transformers.CLIPTokenizer(vocab={renamed.get(k, k): i for k, i in inner.encoder.items()}, merges=merges)


def word_tokenizer():
    """What SigLIP's does with a sentence, without its vocabulary: lower case, an end token behind, padded with end tokens."""
    words = ["</s>", "<unk>", *WORDS, *"hands clap twice hand elsewhere".split()]
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(words))}, "<unk>")
    )
    inner.normalizer = tokenizers.normalizers.Lowercase()
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=64
    )


TINY_BYTES = clip_tokenizer(SimpleTokenizer(bpe_path=str(MERGES)))


CLIP_PREPROCESSING = transformers.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})


SIGLIP_PREPROCESSING = transformers.SiglipImageProcessor(size={"height": 64, "width": 64})


def make(kind, folder, **text):
    """A small model of a kind saved into a folder as the library does; -> the library's own object."""
    torch.manual_seed(0)
    vision = {**WIDTH, "image_size": 64, "patch_size": 16}
    if kind == "siglip":
        config = SiglipConfig(
            text_config={**WIDTH, "vocab_size": 40, "projection_size": 32, **text}, vision_config=vision
        )
        model, tokenizer, processor = transformers.SiglipModel(config), word_tokenizer(), SIGLIP_PREPROCESSING
        model.logit_scale.data, model.logit_bias.data = torch.tensor([2.3]), torch.tensor([-3.0])
    else:
        ids = {"vocab_size": 1514, "max_position_embeddings": 48, "eos_token_id": 1513}
        config = CLIPConfig(text_config={**WIDTH, **ids, **text}, vision_config=vision, projection_dim=24)
        model, tokenizer, processor = transformers.CLIPModel(config), TINY_BYTES, CLIP_PREPROCESSING
    if kind == "xclip":
        model = small_xclip(vocabulary=1514, size=64)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def open_folder(folder):
    return load(f"transformers:{folder}")
