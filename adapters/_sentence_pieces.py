"""Tokenizers that open_clip takes from the transformers library, from files on this machine alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from open_clip.tokenizer import HFTokenizer

from bench.contracts import BenchError

FILES = ("tokenizer.json", "tokenizer_config.json")
TOLD_BY = (*FILES, "special_tokens_map.json", "added_tokens.json")  # what one tokenizer is told from another by
OPTIONS = frozenset({"clean", "strip_sep_token", "language"})
PROBE = "A person's hand, waving_twice!"


def library_tokenizer(name: str, where: Path, text_cfg: Mapping[str, Any]) -> HFTokenizer:
    """open_clip's own tokenizer object, as its config describes it, from the files in a folder.

    Raises:
        BenchError: missing or damaged files, or the tokenizer of a model with a larger vocabulary.
    """
    lacking = [file for file in FILES if not (where / file).is_file()]
    if lacking:
        raise BenchError(
            f"{name} has no tokenizer on this machine: {' and '.join(lacking)} missing in {where}; put the files of the Hugging Face "
            f"repository {text_cfg['hf_tokenizer_name']} there, or run `python -m bench fetch {name}` where there is network"
        )
    options = text_cfg.get("tokenizer_kwargs", {})
    if strange := sorted(set(options) - OPTIONS):
        # They would reach transformers, where one of them runs code from the folder.
        raise BenchError(
            f"the config of {name} asks its tokenizer for {', '.join(strange)}; only {', '.join(sorted(OPTIONS))} are passed on"
        )
    try:
        found = HFTokenizer(
            str(where),
            context_length=text_cfg.get("context_length", 77),
            tokenizer_mode=text_cfg.get("tokenizer_mode"),
            local_files_only=True,
            trust_remote_code=False,
            **options,
        )
        num_known = len(found.tokenizer)
    except Exception as error:
        raise BenchError(
            f"the tokenizer of {name} in {where} cannot be read ({type(error).__name__}: {error}); get its files again"
        ) from error
    if num_known > text_cfg.get("vocab_size", num_known):
        raise BenchError(
            f"the tokenizer in {where} knows {num_known} tokens, {name} was trained with {text_cfg['vocab_size']}: it belongs to another "
            f"model; get that of {text_cfg['hf_tokenizer_name']}"
        )
    return found


class SentencePieces:
    """SigLIP's tokenizer and its cleaning rule; no start token, an end token behind every text, then padding.

    Raises:
        BenchError: no such files, or files whose tokenizer puts other special tokens around a text.
    """

    start = None

    def __init__(self, name: str, where: Path, text_cfg: Mapping[str, Any]) -> None:
        self._inner: Any = library_tokenizer(name, where, text_cfg)
        end, pad = self._inner.tokenizer.eos_token_id, self._inner.tokenizer.pad_token_id
        if end is None or pad is None:
            raise BenchError(f"the tokenizer of {name} in {where} has no end or no padding token; get its files again")
        self.end, self.pad = int(end), int(pad)
        body, length = self.encode(PROBE), self._inner.context_length
        expected = [*body[: length - 1], self.end]
        expected += [self.pad] * (length - len(expected))
        if self._inner([PROBE])[0].tolist() != expected:
            raise BenchError(
                f"the tokenizer of {name} in {where} puts other special tokens around a text than one end token and padding behind it; "
                f"get its files again"
            )

    def encode(self, text: str) -> list[int]:
        return list(self._inner.tokenizer.encode(self._inner.clean_fn(text), add_special_tokens=False))
