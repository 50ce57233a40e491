"""The columns of a run: what the tables group and mark it by, known before it starts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import knowledge, plugins
from bench.contracts import TRAIN, digest, make_config
from bench.planning import dataset_facts, lacking, load_adapter, load_manifest

if TYPE_CHECKING:
    from bench.specs import ResolvedRun


def columns(resolved: ResolvedRun, home: Path) -> dict[str, Any]:
    """What the tables group and mark rows by; known before the run starts, so a failed run has it too."""
    spec = resolved.spec
    method, facts = plugins.find("methods", spec.method), load_adapter(spec.backbone).facts
    manifest = load_manifest(home, resolved.manifest)
    config = make_config(method.Config, dict(resolved.config), spec.method)
    control = f" ({spec.control_words})" if resolved.bank and spec.control_words else ""
    tells = getattr(method, "columns", None)
    # Of what cannot run on this backbone there is nothing to tell, but its row, which says why.
    applies = not lacking(method, load_adapter(spec.backbone))
    own: Mapping[str, Any] = tells(config, load_adapter(spec.backbone)) if tells and applies else {}
    name = manifest.dataset + (f", at most {spec.limit} a class" if spec.limit else "")
    return {
        "dataset": name,
        "manifest": resolved.manifest,
        "series": _series(resolved, facts.weights_sha256),
        "versions": dict(resolved.versions) | {"adapter": facts.version},
        "backbone": resolved.backbone,
        "family": facts.family,
        "toy_scale": facts.toy_scale,
        "pretraining": facts.pretraining,
        "method": spec.method,
        "label": (_tuned_label(method, spec.study_trials) if spec.study else _label(method, config)) + control,
        "setting": _setting(resolved, manifest.class_names),
        "is_default": config == method.Config() and not spec.study,
        "needs_train": TRAIN in method.NEEDS,
        "protocol": spec.protocol,
        "shots": spec.shots,
        "split": spec.split,
        "seed": spec.seed,
        "text_source": getattr(config, "text", ""),
        "bank": (spec.bank or dataset_facts(spec.dataset).bank or "") if resolved.bank else "",
        "bank_control": spec.bank_control if resolved.bank else "none",
        "num_frames": resolved.num_frames,
        "num_views": 1,
        "resolution": _resolution(spec.backbone, resolved.num_frames),
        "precision": spec.numerics,
        "trainable": method.TRAINABLE,
        "evaluation": spec.evaluation,
        "study": spec.study,
        "tuning_trials": spec.study_trials,
        "selection": "",
        "num_classes": len(manifest.class_names),
        "num_parameters": facts.num_parameters,
        "gflops": None if facts.gflops is None else facts.gflops * resolved.num_frames,
        "gflops_source": facts.gflops_source,
        "num_test": 0,
        "num_failed": 0,
        "num_groups": 0,
        "group_kind": manifest.group_kind,
        **({"beware": said} if (said := dataset_facts(spec.dataset).beware) else {}),
        **own,
    }


@functools.lru_cache(maxsize=8)
def _resolution(backbone: str, num_frames: int) -> int:
    """The shorter side, in pixels, of what a backbone's transform makes of a video."""
    blank = np.zeros((num_frames, 256, 320, 3), dtype=np.uint8)
    return int(min(load_adapter(backbone).transform(blank).shape[-2:]))


def _label(method: ModuleType, config: Any) -> str:
    """The method's own words, and every changed setting that they do not tell: two settings never share a row."""
    plain, words = method.Config(), str(method.describe(config))
    changed = [f.name for f in dataclasses.fields(config) if getattr(config, f.name) != getattr(plain, f.name)]
    alone = {name: dataclasses.replace(plain, **{name: getattr(config, name)}) for name in changed}
    untold = [name for name in changed if method.describe(alone[name]) == method.describe(plain)]
    return words + (f" [{', '.join(f'{name}={getattr(config, name)}' for name in untold)}]" if untold else "")


def _tuned_label(method: ModuleType, trials: int) -> str:
    """One row for a tuned method, whatever was chosen on each backbone and data set: its name as far as the first comma, and the budget."""
    name, _, _ = str(method.describe(method.Config())).partition(",")
    return f"{name}, tuned in {trials} {'trial' if trials == 1 else 'trials'}"


def _series(resolved: ResolvedRun, weights_sha256: str) -> str:
    """What a run of an older VERSION shares with its successor: the tables show the newest of a series."""
    rest = {k: v for k, v in resolved.identity().items() if k not in ("versions", "adapter")}
    return digest([rest, weights_sha256])


def _setting(resolved: ResolvedRun, class_names: Sequence[str]) -> str:
    """What runs of one number in a table share: all of the identity but seed and split; of a bank that is dealt anew for each seed
    the statements before the deal.
    """
    told, spec = resolved.identity(), resolved.spec
    told["protocol"] = told["protocol"][:2]
    if resolved.bank is not None and spec.draws_statements:
        name = spec.bank or dataset_facts(spec.dataset).bank
        assert name is not None
        told["bank"] = [knowledge.statements_digest(knowledge.statements(name, class_names)), spec.bank_control]
    return digest(told)
