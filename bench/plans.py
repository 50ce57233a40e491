"""Plans: many specs resolved at once, and kept, so that asking again needs no backbone and no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from bench import knowledge, plugins
from bench._files import write_atomic
from bench.contracts import digest
from bench.planning import Progress, build_manifest, resolve, silent
from bench.provenance import source_digest, versions
from bench.specs import SCHEMA, ResolvedRun, RunSpec, resolved_from_dict, resolved_to_dict, to_dict


def plan(specs: Sequence[RunSpec], home: Path, progress: Progress = silent) -> list[ResolvedRun]:
    """Resolve many specs, each id once. The answer is kept under plans/, so that asking again needs no backbone and no torch.

    What is kept is keyed by the specs, the rows found on disk for each, every source file of this repository, the libraries'
    versions and the weights at hand; with plug-ins from outside, whose sources are not known here, nothing is kept.
    """
    rows = [build_manifest(spec, home, progress).digest for spec in specs]
    weights = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in _weight_files(specs, home)]
    files = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in _config_files(specs)]
    banks = [[b, knowledge.load(b).digest] for b in sorted({s.bank for s in specs if s.bank})]
    key = digest([SCHEMA, [to_dict(s) for s in specs], rows, weights, files, banks, source_digest(), versions()])
    path = home / "plans" / f"{key}.json"
    outside = any(plugins.outside(kind) for kind in plugins.FOLDERS)
    if path.is_file() and not outside:
        return [resolved_from_dict(r) for r in json.loads(path.read_text())]
    planned: dict[str, ResolvedRun] = {}
    for spec in specs:
        resolved = resolve(spec, home, progress)
        planned.setdefault(resolved.run_id, resolved)
    write_atomic(path, json.dumps([resolved_to_dict(r) for r in planned.values()]))
    return list(planned.values())


def _weight_files(specs: Sequence[RunSpec], home: Path) -> list[Path]:
    """Every file that a backbone of these specs may be loaded from: those kept under weights/, and those that open names point to."""
    places = [home / "weights", *(path for name in {spec.backbone for spec in specs} for path in plugins.paths(name))]
    found, seen = {place for place in places if place.is_file()}, set()
    for place in places:
        # Not rglob, which leaves out folders that are links; a link may lead back to where it lies.
        for folder, inside, names in os.walk(place, followlinks=True):
            here = Path(folder).resolve()
            if here in seen:
                inside.clear()
            seen.add(here)
            found |= {Path(folder) / name for name in names if name not in ("lock.json", ".lock")}
    return sorted(f for f in found if f.is_file())


def _config_files(specs: Sequence[RunSpec]) -> list[Path]:
    """Files that methods' settings name: what they hold is part of a run."""
    texts = {value for spec in specs for _, value in spec.config if isinstance(value, str) and value}
    return sorted(path for path in (Path(text).expanduser() for text in texts) if path.is_file())
