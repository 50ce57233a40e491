"""A language model behind an OpenAI-compatible address: OpenAI and others, vLLM, Ollama, llama.cpp."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from bench.contracts import BenchError
from bench.knowledge.asking import Answer

KEYS = ("BENCH_LLM_KEY", "OPENAI_API_KEY")  # the first that is set is sent
LARGEST = 2_000_000  # bytes of a response; a list of sentences has some thousands
SHORTEST_KEY = 8  # characters; a shorter one is a word such as EMPTY, that no server took for a secret
GOES_ON = "the answers so far are kept, the same command goes on from there"


class Endpoint:
    """A model behind an address. Network and server errors are retried by the client, and end in a BenchError that names the class."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        temperature: float | None = None,
        max_tokens: int = 1000,
        seed: int | None = None,
        timeout: float = 60,
        retries: int = 4,
        workers: int = 4,
    ) -> None:
        import openai

        self.url, self.name, self.timeout, self.retries, self.workers = _checked(url), model, timeout, retries, workers
        given = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
        self.settings: Mapping[str, Any] = {name: value for name, value in given.items() if value is not None}
        self._key = _key()
        if self._without_key(self.url) != self.url:
            raise BenchError("--endpoint holds the key; leave it out of the address, which is written down")
        try:
            self._client = openai.OpenAI(
                base_url=self.url, api_key=self._key or "none", timeout=timeout, max_retries=retries
            )
        except Exception as error:  # of the HTTP library; its message may hold a proxy's password
            raise BenchError(
                f"--endpoint {self.url}: the client cannot be made ({type(error).__name__}); look at the proxy that the environment "
                "names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY; socks needs pip install socksio), or name the host in NO_PROXY"
            ) from None

    def ask(self, prompt: str, sample: int, about: str) -> Answer:
        """One chat completion.

        Raises:
            BenchError: no answer after the stated retries, a refused key, an unknown model, a response that is no chat completion.
        """
        import openai

        asked: dict[str, Any] = {**self.settings, "model": self.name, "messages": [{"role": "user", "content": prompt}]}
        if "seed" in asked:
            asked["seed"] += sample
        if urlsplit(self.url).hostname == "api.openai.com":  # which refuses the older name for its newer models
            asked["max_completion_tokens"] = asked.pop("max_tokens")
        # `from None`: what the client raised holds the request, and with it the key.
        try:
            with self._client.chat.completions.with_streaming_response.create(**asked) as response:
                body = self._bounded(response.iter_bytes(), about)
        except openai.APITimeoutError:
            raise self._error(about, f"no answer within {self.timeout:g} s{self._tried}; give more --timeout") from None
        except openai.APIConnectionError as error:
            raise self._error(about, f"it cannot be reached{self._tried} ({error.__cause__}); is it running?") from None
        except openai.APIStatusError as error:
            raise self._error(about, self._status(error)) from None
        except BenchError:
            raise
        except Exception as error:  # the connection broke in the body: errors of whichever HTTP library the client uses
            raise self._error(about, f"the response broke off ({type(error).__name__}: {error})") from None
        return self._answer(body, about)

    def close(self) -> None:
        self._client.close()

    @property
    def _tried(self) -> str:
        return f" ({self.retries} retries at most)"

    def _bounded(self, chunks: Iterable[bytes], about: str) -> bytes:
        body, end = b"", time.monotonic() + self.timeout
        for chunk in chunks:
            body += chunk
            if len(body) > LARGEST:
                raise self._error(about, f"the response is larger than {LARGEST / 1e6:g} MB")
            if time.monotonic() > end:
                raise self._error(about, f"the response did not end within {self.timeout:g} s; give more --timeout")
        return body

    def _answer(self, body: bytes, about: str) -> Answer:
        try:
            said = json.loads(body)
            choice = said["choices"][0]
            message = choice["message"]
            refusal, text = message.get("refusal"), message.get("content")
            if isinstance(text, list):  # some servers send parts
                text = "".join(part.get("text", "") for part in text)
            if not isinstance(text, str | None):
                raise TypeError("its content is no text")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            shown = self._without_key(body.decode(errors="replace"))[:80]  # the key first: half of it is a secret too
            raise self._error(
                about,
                f"the response is no JSON of a chat completion; it begins with {shown!r}. Does the address end in /v1?",
            ) from None
        finish = "refusal" if refusal and not text else str(choice.get("finish_reason") or "")
        named = self._without_key("".join(ch for ch in str(said.get("model") or self.name) if ch.isprintable()))[:100]
        return Answer(self._without_key(text or str(refusal or "")), self._without_key(finish)[:40], named, self.url)

    def _status(self, error: Any) -> str:
        code, body = error.status_code, error.body
        words = body.get("message") if isinstance(body, dict) else None
        told = re.sub(r"\s+", " ", str(words or error.response.text)).strip()
        told = f" (it says: {self._without_key(told)[:200]})" if told else ""
        if code in (401, 403):
            return f"{code}, it refuses the key{told}; set {' or '.join(KEYS)} to one that it takes"
        if code == 404:
            return f"404, it knows no model {self.name!r}, or is no OpenAI-compatible address (which mostly ends in /v1){told}"
        if code == 429:
            later = error.response.headers.get("retry-after")
            wait = f"; it asks to wait {self._without_key(later)[:40]} s" if later else ""
            return f"429, too many requests{self._tried}{wait}{told}; go on later, or give --parallel 1"
        if code >= 500:
            return f"{code}, the server failed{self._tried}{told}"
        return f"{code}, it refuses the request{told}"

    def _error(self, about: str, what: str) -> BenchError:
        return BenchError(self._without_key(f"{self.url}, asked about {about}: {what}; {GOES_ON}"))

    def _without_key(self, text: str) -> str:
        """Servers repeat a key that they refuse, and a model can be made to repeat anything."""
        return text.replace(self._key, "<key>") if len(self._key) >= SHORTEST_KEY else text


def _key() -> str:
    """The key from the environment, "" where none is set: local servers want none."""
    name = next((name for name in KEYS if os.environ.get(name, "").strip()), None)
    if name is None:
        return ""
    key = os.environ[name].strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise BenchError(f"${name} holds characters that no key has; set it to the key alone")
    return key


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        named = parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        parts, named = urlsplit(""), None
    if parts.username or parts.password or parts.query or parts.fragment or "@" in parts.netloc:
        raise BenchError(
            f"--endpoint takes an address alone; put a key into {' or '.join(KEYS)}, where nothing writes it down"
        )
    if parts.scheme not in ("http", "https") or not named:
        raise BenchError(f"--endpoint {url!r} is no http address; for example http://localhost:11434/v1")
    return url.rstrip("/")
