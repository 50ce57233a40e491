"""What every module knows: the errors that people see, and the digest that identities are made of."""

from __future__ import annotations

import hashlib
import json


class BenchError(ValueError):
    """Bad input: says what is wrong, where, and what to do about it. Never a bug of ours."""


class NotApplicable(BenchError):
    """This method cannot run on this backbone or these classes; tables show n/a and why."""


def digest(value: object, length: int = 16) -> str:
    """Hex sha256 of canonical JSON (sorted keys, no spaces), cut to `length` characters."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
