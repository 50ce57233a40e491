"""The tiny towers' tokenizer: open_clip's own, with CLIP's byte-pair merges cut to the first few."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer

MERGES = Path(__file__).with_name("merges.txt.gz")
NUM_MERGES = 1000
VOCAB_SIZE = 512 + NUM_MERGES + 2
START = VOCAB_SIZE - 2
END = VOCAB_SIZE - 1  # the highest id: CLIP's pooling finds the end of the text by it
PAD = 0


@lru_cache(maxsize=1)
def _tokenizer() -> SimpleTokenizer:
    tokenizer = SimpleTokenizer(bpe_path=str(MERGES))
    assert (tokenizer.vocab_size, tokenizer.sot_token_id, tokenizer.eot_token_id) == (VOCAB_SIZE, START, END)
    return tokenizer


@lru_cache(maxsize=65536)
def _encode(text: str) -> tuple[int, ...]:
    return tuple(_tokenizer().encode(text))


def encode(text: str) -> list[int]:
    """Raw token ids of a text, without start, end or padding; any length."""
    return list(_encode(text))


def cut_merges(full: str, num_merges: int = NUM_MERGES) -> bytes:
    """The content of `MERGES`: the header and the first merges of CLIP's file, gzipped without a time stamp.

    Args:
        full: path of open_clip's `bpe_simple_vocab_16e6.txt.gz`.
        num_merges: how many merges to keep.
    """
    import gzip

    with gzip.open(full, "rt", encoding="utf-8") as lines:
        kept = [next(lines).rstrip("\n") for _ in range(num_merges + 1)]
    # No newline at the end: open_clip would read an empty merge after it.
    return gzip.compress("\n".join(kept).encode(), mtime=0)
