"""A causal language model from a folder, through transformers: safetensors only, no code from the folder, no network."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import devices
from bench.contracts import BenchError, digest
from bench.knowledge.asking import Answer
from bench.manifest import stamp

_ONLY_HERE = {"local_files_only": True, "trust_remote_code": False}


class Local:
    """A model in this process. Greedy without a temperature; with one it draws from `seed` + the sample's number."""

    workers = 1

    def __init__(
        self, folder: str, *, temperature: float | None = None, max_tokens: int = 1000, seed: int | None = None
    ) -> None:
        self._folder = Path(folder).expanduser()
        weights = _checked(self._folder)
        self.name = self._folder.resolve().name
        self.settings: Mapping[str, Any] = {
            "temperature": temperature or 0,
            "max_tokens": max_tokens,
            "seed": seed or 0,
            "weights": digest([stamp(path) for path in weights], 8),
        }
        self._device = devices.choose()
        self._model, self._tokenizer = _loaded(self._folder, self._device)

    def ask(self, prompt: str, sample: int, about: str) -> Answer:
        """What the model writes after the prompt, in its chat template where it has one.

        Raises:
            BenchError: the prompt and the answer do not fit the model's length, or the model fails.
        """
        try:
            return self._written(prompt, sample, about)
        except BenchError:
            raise
        except Exception as error:  # of the chat template, the device's memory, weights that give NaN
            reason = " ".join(str(error).split())[:300]
            raise BenchError(
                f"{self._folder}, asked about {about}: the model cannot answer ({type(error).__name__}: {reason})"
            ) from error

    def _written(self, prompt: str, sample: int, about: str) -> Answer:
        import torch

        tokenizer, most = self._tokenizer, int(self.settings["max_tokens"])
        if tokenizer.chat_template:
            turns = [{"role": "user", "content": prompt}]
            prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        tokens = tokenizer(prompt, return_tensors="pt", add_special_tokens=not tokenizer.chat_template)
        tokens = {name: tokens[name].to(self._device) for name in ("input_ids", "attention_mask")}
        length = tokens["input_ids"].shape[1]
        limit = getattr(self._model.config, "max_position_embeddings", None)
        if limit and length + most > limit:
            raise BenchError(
                f"{self._folder}, asked about {about}: the prompt has {length} tokens and the answer may have {most}, but the model takes "
                f"{limit} together; give a shorter --prompt or fewer --max-tokens"
            )
        torch.manual_seed(int(self.settings["seed"]) + sample)
        with torch.no_grad():
            written = self._model.generate(**tokens, generation_config=self._generation(most))[0, length:]
        finish = "length" if len(written) >= most else "stop"
        return Answer(tokenizer.decode(written, skip_special_tokens=True), finish, self.name)

    def _generation(self, most: int) -> Any:
        """The model's own settings, but for how long and how it draws."""
        config, warm = copy.deepcopy(self._model.generation_config), float(self.settings["temperature"])
        config.max_length, config.max_new_tokens, config.do_sample, config.num_beams = None, most, warm > 0, 1
        config.temperature = warm or None
        if not warm:
            config.top_p = config.top_k = config.min_p = config.typical_p = None
        if config.pad_token_id is None:
            ends = config.eos_token_id
            config.pad_token_id = ends[0] if isinstance(ends, list) else ends
        return config

    def close(self) -> None:
        """Nothing is held open."""


def _checked(folder: Path) -> list[Path]:
    """The files of weights. Raises BenchError where the folder is no model, or holds weights that are a program (pickle) only."""
    if not (folder / "config.json").is_file():
        raise BenchError(
            f"--local {folder}: it holds no config.json; give a folder as transformers' save_pretrained leaves it, with model and tokenizer"
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise BenchError(
            f"--local {folder}: it holds no .safetensors file; other weights can run code when they are read, convert them first"
        )
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        try:
            said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError, RecursionError) as error:
            raise BenchError(f"--local {folder}: {name} cannot be read ({error})") from error
        if isinstance(said, dict) and said.get("auto_map"):
            raise BenchError(
                f"--local {folder}: {name} asks for Python code of its own (auto_map), which is never run; take another model"
            )
    return weights


def _loaded(folder: Path, device: str) -> tuple[Any, Any]:
    import transformers

    try:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, **_ONLY_HERE)
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype="auto", output_loading_info=True, **_ONLY_HERE
        )
    except Exception as error:  # the library raises whatever its parsers raise
        reason = " ".join(str(error).split())[:300]
        raise BenchError(
            f"--local {folder} cannot be loaded as a causal language model ({type(error).__name__}: {reason})"
        ) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise BenchError(
            f"--local {folder}: the weights lack {len(missing)} keys ({', '.join(missing[:3])}); get the whole folder"
        )
    return model.to(device).eval(), tokenizer
