"""From a spec to everything that a run depends on: rows, backbone, statements, config; and what must be extracted before it starts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bench import devices, knowledge, places, plugins, protocols
from bench import manifest as manifests
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
    make_config,
)
from bench.specs import ResolvedRun, RunSpec, as_pairs

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
    """What must be in the feature stores before these runs can start, each (backbone, frames, manifest) once.

    Of runs that cannot be, since the backbone lacks what the method needs, nothing.
    """
    wanted: dict[tuple[Any, ...], tuple[ResolvedRun, set[int]]] = {}
    for r in planned:
        if reads_frames(r) or lacking(plugins.find("methods", r.spec.method), load_adapter(r.spec.backbone)):
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
