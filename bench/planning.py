"""From a spec to everything that a run depends on: rows, backbone, statements, config; and what must be extracted before it starts."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import devices, knowledge, places, plugins, protocols
from bench import manifest as manifests
from bench._files import write_atomic
from bench.contracts import (
    FRAMES,
    KNOWLEDGE,
    TEXT,
    TRAIN,
    Adapter,
    BackboneFacts,
    BenchError,
    Choice,
    Classes,
    DataRequest,
    DatasetFacts,
    digest,
    make_config,
)
from bench.provenance import source_digest, versions
from bench.specs import SCHEMA, ResolvedRun, RunSpec, as_pairs, from_dict, to_dict

if TYPE_CHECKING:
    from bench.features import FeatureStore
    from bench.manifest import Manifest
    from bench.protocols import Views

Progress = Callable[[str, int, int], None]  # what is done, how many, of how many


def silent(what: str, done: int, total: int) -> None:
    """Progress nobody watches."""


def resolve(spec: RunSpec, home: Path, progress: Progress = silent) -> ResolvedRun:
    """Make everything that can change the number explicit; fails here, before any work, on whatever is wrong with a spec."""
    manifest = build_manifest(spec, home, progress)
    method, adapter = plugins.find("methods", spec.method), load_adapter(spec.backbone)
    config = make_config(method.Config, dict(spec.config), spec.method)
    views = protocols.views(manifest, spec.protocol, spec.split, spec.seed, spec.shots)
    if spec.evaluation == "validation" and not views.val:
        raise BenchError(f"the protocol {spec.protocol} has no validation videos, so nothing can be tuned under it")
    if TEXT in method.NEEDS & adapter.facts.capabilities:
        _speak(spec.backbone)
    if hasattr(method, "check") and not lacking(method, adapter):
        method.check(config, adapter, manifest.class_names)
    bank = None
    if bank_name := _bank_name(spec, method, config):
        bank = knowledge.statements_digest(
            knowledge.statements(bank_name, manifest.class_names, spec.bank_control, spec.seed)
        )
    return ResolvedRun(
        spec=spec,
        manifest=manifest.digest,
        backbone=adapter.facts.name,
        adapter=adapter.facts.identity,
        num_frames=_num_frames(spec, adapter.facts, method),
        sampling=spec.frames.sampling or adapter.facts.sampling,
        bank=bank,
        config=as_pairs(dataclasses.asdict(config)),
        versions=as_pairs(
            {"method": method.VERSION, "protocol": protocols.VERSION, "dataset": dataset_facts(spec.dataset).version}
        ),
    )


@functools.lru_cache(maxsize=8)
def _speak(backbone: str) -> None:
    """A tokenizer that is missing is found out now, not after the videos were encoded."""
    load_adapter(backbone).encode_text(["a"])


def _num_frames(spec: RunSpec, facts: BackboneFacts, method: ModuleType) -> int:
    """Frames a video. Raises BenchError where the backbone does not take what the spec asks for."""
    asked = spec.frames.num_frames
    if FRAMES in method.NEEDS:
        plain = RunSpec(dataset=spec.dataset, backbone=spec.backbone, method=spec.method)
        if (asked, spec.numerics) != (plain.frames.num_frames, plain.numerics):
            raise BenchError(
                f"{spec.method} runs the visual side itself, so --frames, --precision and --compile do not reach it; leave them out "
                "and set its own config"
            )
        return facts.num_frames
    if facts.fixed_num_frames and asked not in (None, facts.num_frames):
        raise BenchError(
            f"{facts.name} was made for {facts.num_frames} frames a video and takes no other number, not {asked}; leave --frames "
            f"out, or {facts.name} out of --backbones"
        )
    if spec.precision not in facts.precisions:
        raise BenchError(f"{facts.name} does not run in {spec.precision}; it runs in {', '.join(facts.precisions)}")
    return asked or facts.num_frames


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


def _bank_name(spec: RunSpec, method: ModuleType, config: Any) -> str | None:
    """The bank a run reads; None where the method, as configured, reads none."""
    reads = getattr(method, "reads_knowledge", lambda config: KNOWLEDGE in method.NEEDS)(config)
    if not reads:
        return None
    name = spec.bank or dataset_facts(spec.dataset).bank
    if name is None:
        raise BenchError(
            f"{spec.method} reads descriptions, and {spec.dataset} has no knowledge bank; name one with --bank FILE.json"
        )
    return name


_built: dict[tuple[Any, ...], Manifest] = {}


def build_manifest(spec: RunSpec, home: Path, progress: Progress = silent) -> Manifest:
    """The rows of a run's data set, from its files; kept under manifests/ and in this process."""
    key = (*spec.data_key, home)
    if key not in _built:
        facts = dataset_facts(spec.dataset)
        manifest = (
            plugins.find("datasets", spec.dataset).manifest(_request(spec, facts, home, progress)).limited(spec.limit)
        )
        manifests.save(manifest, home / "manifests")
        _built[key] = manifest
    return _built[key]


def _request(spec: RunSpec, facts: DatasetFacts, home: Path, progress: Progress) -> DataRequest:
    given = dict(spec.dataset_options)
    if foreign := sorted(set(given) - set(facts.options)):
        known = "; ".join(f"{name} ({text})" for name, text in facts.options.items()) or "none"
        raise BenchError(f"the data set {facts.name} has no option {', '.join(foreign)}; its options: {known}")
    if facts.needs_root and spec.root is None:
        raise BenchError(
            f"the data set {facts.name} lies on your disk: say where with --root FOLDER (make bench ROOT=FOLDER)"
        )
    return DataRequest(root=places.data_root(spec.root), workspace=home / "data", options=given, progress=progress)


def dataset_facts(name: str) -> DatasetFacts:
    """What a data set says of itself. Raises BenchError on an unknown name, with the nearest ones."""
    facts: DatasetFacts = plugins.find("datasets", name).DATASET
    return facts


def on_disk(choice: Choice, home: Path, progress: Progress = silent) -> Choice:
    """The choice with what only the files tell: one's own videos may publish one split, and then every seed is on that one."""
    facts = choice.dataset
    spec = RunSpec(
        dataset=facts.name, backbone="", method="", root=choice.root, dataset_options=choice.options, limit=choice.limit
    )
    one_split = len(build_manifest(spec, home, progress).splits) == 1
    facts = dataclasses.replace(facts, split_per_seed=facts.split_per_seed and not one_split)
    return dataclasses.replace(choice, dataset=facts)


def fitting_shots(choice: Choice, home: Path) -> tuple[Choice, list[int]]:
    """The data set's default shots cut to what its rows on disk hold, and those left out; shots that were asked for stay.

    Raises:
        BenchError: not even the fewest fit, or the method asked for draws none.
    """
    if choice.shots is not None:
        return choice, []
    facts, left_out = choice.dataset, []
    spec = RunSpec(
        dataset=facts.name, backbone="", method="", root=choice.root, dataset_options=choice.options, limit=choice.limit
    )
    manifest = build_manifest(spec, home)
    splits = {str(s) if facts.split_per_seed else "1" for s in choice.seeds or facts.replicates}
    for shots in facts.shots:
        try:
            for split in splits:
                protocols.views(manifest, "few_shot", split, 1, shots)
        except BenchError:
            left_out.append(shots)
    kept = tuple(k for k in facts.shots if k not in left_out)
    return dataclasses.replace(choice, dataset=dataclasses.replace(facts, shots=kept)), left_out


@functools.lru_cache(maxsize=16)
def load_manifest(home: Path, key: str) -> Manifest:
    """A manifest that `build_manifest` kept, by its digest."""
    return manifests.load(home / "manifests", key)


@functools.lru_cache(maxsize=8)
def load_adapter(name: str) -> Adapter:
    """A frozen backbone on the device of `devices.choose`; loaded once a process."""
    adapter: Adapter = plugins.find("adapters", name).load(name, devices.choose())
    return adapter


def lacking(method: ModuleType, adapter: Adapter) -> list[str]:
    """Capabilities that a method needs and a backbone does not have."""
    return sorted((method.NEEDS - {KNOWLEDGE, TRAIN, FRAMES}) - adapter.facts.capabilities)


def reads_frames(resolved: ResolvedRun) -> bool:
    """Whether a run's method reads frames, so that no features are computed for it."""
    return FRAMES in plugins.find("methods", resolved.spec.method).NEEDS


@dataclass(frozen=True)
class Need:
    """One feature store's worth of work: the rows of a manifest that planned runs will read."""

    resolved: ResolvedRun
    positions: tuple[int, ...]


def views_of(resolved: ResolvedRun, home: Path) -> Views:
    """Which rows of its manifest a run is trained, validated and tested on."""
    spec = resolved.spec
    manifest = load_manifest(home, resolved.manifest)
    return protocols.views(manifest, spec.protocol, spec.split, spec.seed, spec.shots)


def needs(planned: Sequence[ResolvedRun], home: Path) -> list[Need]:
    """What must be in the feature stores before these runs can start, each (backbone, frames, manifest) once."""
    wanted: dict[tuple[Any, ...], tuple[ResolvedRun, set[int]]] = {}
    for r in planned:
        if reads_frames(r):
            continue
        views = views_of(r, home)
        how = (r.num_frames, r.sampling, r.spec.frames.decoder, r.spec.numerics)
        key = (r.backbone, r.adapter, how, r.manifest)
        wanted.setdefault(key, (r, set()))[1].update(views.train, views.val)
        if r.spec.evaluation == "test":
            wanted[key][1].update(views.test)
    return [Need(r, tuple(sorted(rows))) for r, rows in wanted.values()]


def feature_store(resolved: ResolvedRun, home: Path, device: str | None = None) -> FeatureStore:
    """The store that a run reads its features from; `device` is where the backbone runs, if not here."""
    from bench.features import FeatureStore, store_folder
    from bench.forward import device_of

    spec, adapter = resolved.spec, load_adapter(resolved.spec.backbone)
    device = device or device_of(adapter).type
    # Features of two kinds of device agree to rounding only, so they never stand in one store.
    numerics = spec.numerics + ("" if device == "cpu" else f" on {device}")
    folder = store_folder(
        places.features(home), adapter, resolved.num_frames, resolved.sampling, spec.frames.decoder, numerics
    )
    return FeatureStore(folder)


def classes(resolved: ResolvedRun, manifest: Manifest) -> Classes:
    """The classes a run's method is shown: names, templates and, where it reads the bank, statements after the control."""
    spec = resolved.spec
    facts = dataset_facts(spec.dataset)
    texts: tuple[tuple[str, ...], ...] = ()
    if resolved.bank is not None:
        name = spec.bank or facts.bank
        assert name is not None
        texts = knowledge.statements(name, manifest.class_names, spec.bank_control, spec.seed)
        if knowledge.statements_digest(texts) != resolved.bank:
            raise BenchError(
                f"the knowledge bank of {spec.dataset} changed since this run was planned; start the command again"
            )
    return Classes(manifest.class_names, facts.templates, texts)


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


def resolved_to_dict(resolved: ResolvedRun) -> dict[str, Any]:
    """JSON-able form of a planned run, for a worker."""
    return {
        "schema": SCHEMA,
        "spec": to_dict(resolved.spec),
        **{f.name: getattr(resolved, f.name) for f in dataclasses.fields(resolved) if f.name != "spec"},
    }


def resolved_from_dict(values: Mapping[str, Any]) -> ResolvedRun:
    """Read what `resolved_to_dict` wrote. Raises BenchError on another schema."""
    if values.get("schema") != SCHEMA:  # ids of two schemas must never mix
        raise BenchError(
            f"a planned run of schema {values.get('schema')}, this version reads schema {SCHEMA}; plan it again"
        )
    rest = {k: v for k, v in values.items() if k not in ("schema", "spec")}
    return ResolvedRun(
        spec=from_dict(values["spec"]),
        **rest | {k: as_pairs(tuple((name, value) for name, value in rest[k])) for k in ("config", "versions")},
    )
