"""The contract, as checks that any adapter or method can be put through: ours, yours, with any weights.

Each check takes the plug-in and raises Violation with what it saw. `check_adapter` and `check_method` run them all and report each.
"""

from bench.checks._adapters import check_adapter
from bench.checks._methods import check_method
from bench.checks._probes import TEXTS, Result, Violation, frames

__all__ = ["TEXTS", "Result", "Violation", "check_adapter", "check_method", "frames"]
