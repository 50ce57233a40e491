"""What a run is: a frozen spec, everything it resolves to, and the id that follows from that."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.contracts import SEGMENT_CENTRE, BenchError, digest

SCHEMA = 1  # of the run folder; a folder of another schema is refused, never guessed at
PROTOCOLS = ("zero_shot", "few_shot", "cross_subject", "base_to_novel")
WITH_SHOTS = ("few_shot", "base_to_novel")
# What is done to a bank's statements: name -> how the table's row is marked, with the value behind the colon where it takes one.
BANK_CONTROLS: Mapping[str, str] = {
    "none": "",
    "shuffled": "shuffled",
    "other_class": "another class's",
    "random_words": "random words",
    "wrong": "{} of 10 wrong",
    "count": "{} statements",
    "kind": "{} only",
}
FIXED_CONTROLS = ("none", "kind")  # the others are drawn anew for each seed
SAMPLINGS = (SEGMENT_CENTRE,)
DECODERS = ("pyav",)
EVALUATIONS = ("test", "validation")  # the view that a run is scored on
PRECISIONS = ("float32", "bf16", "fp16")  # of a backbone's forward pass; the last two by autocast

Pairs = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class FrameSpec:
    """Which frames of a video are looked at. `num_frames` and `sampling` None mean the backbone's own."""

    num_frames: int | None = None
    sampling: str | None = None
    decoder: str = "pyav"

    def __post_init__(self) -> None:
        if self.num_frames is not None and self.num_frames < 1:
            raise BenchError(f"num_frames is {self.num_frames}; it is at least 1")
        if self.sampling is not None:
            _one_of("sampling", self.sampling, SAMPLINGS)
        _one_of("decoder", self.decoder, DECODERS)


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One number in a table: one method on one backbone, one data set, one protocol, one seed.

    `root` and `dataset_options` say where the data lies; they reach the run id only through the digest of the rows found there.
    `config` holds the method's fields that differ from its defaults. `precision` and `compile` (by torch.compile) are of the
    backbone's forward pass over videos. `bank_control` puts something else in the place of the bank's knowledge:
    "shuffled", "other_class", "random_words", "wrong:K" of 10, "count:N", "kind:KIND" (see `bench.knowledge.controls`), by `seed`.

    A run of the `evaluation` "validation" is a trial: it is scored on the validation view and never opens the test features; with
    `epoch_divisor` d its training ends after 1/d of its epochs, rounded up, on the schedule of all of them. `study` names the study
    that chose `config`, after `study_trials` trials; "" and 0 where nothing was tuned.
    """

    dataset: str
    backbone: str
    method: str
    protocol: str = "zero_shot"
    shots: int | None = None
    split: str = "1"
    seed: int = 1
    config: Pairs = ()
    bank: str | None = None
    bank_control: str = "none"
    frames: FrameSpec = field(default_factory=FrameSpec)
    precision: str = "float32"
    compile: bool = False
    limit: int | None = None
    root: str | None = None
    dataset_options: tuple[tuple[str, str], ...] = ()
    evaluation: str = "test"
    epoch_divisor: int = 1
    study: str = ""
    study_trials: int = 0

    def __post_init__(self) -> None:
        _one_of("protocol", self.protocol, PROTOCOLS)
        split_control(self.bank_control)
        _one_of("precision", self.precision, PRECISIONS)
        if (self.shots is not None) != (self.protocol in WITH_SHOTS):
            raise BenchError(
                f"the protocol {self.protocol} takes no number of shots, and {self.shots} are given; leave --shots out"
                if self.shots is not None
                else f"the protocol {self.protocol} needs a number of training videos a class; say it with --shots"
            )
        if self.shots is not None and self.shots < 1:
            raise BenchError(f"shots is {self.shots}; it is at least 1")
        _one_of("evaluation", self.evaluation, EVALUATIONS)
        if self.epoch_divisor < 1 or (self.epoch_divisor > 1 and self.evaluation == "test"):
            raise BenchError(
                f"epoch_divisor is {self.epoch_divisor} of a {self.evaluation} run; it is 1 or more, and more than 1 for validation alone"
            )
        if bool(self.study) != bool(self.study_trials) or self.study_trials < 0:
            raise BenchError(f"the study {self.study!r} has {self.study_trials} trials; a study has 1 or more")
        if self.seed < 0:
            raise BenchError(f"seed is {self.seed}; it is at least 0")
        object.__setattr__(self, "config", as_pairs(self.config))
        object.__setattr__(self, "dataset_options", as_pairs(self.dataset_options))

    @property
    def control_words(self) -> str:
        """The control in words, for a row's label; "" where there is none."""
        name, value = split_control(self.bank_control)
        return BANK_CONTROLS[name].format(value.replace("_", " "))

    @property
    def draws_statements(self) -> bool:
        """Whether the seed decides which statements the method is shown."""
        return split_control(self.bank_control)[0] not in FIXED_CONTROLS

    @property
    def numerics(self) -> str:
        """How the backbone computes: the precision, and whether compiled."""
        return self.precision + ("+compile" if self.compile else "")

    @property
    def data_key(self) -> tuple[Any, ...]:
        """Runs that share it share a manifest."""
        return (self.dataset, self.root, self.dataset_options, self.limit)


@dataclass(frozen=True, kw_only=True)
class ResolvedRun:
    """A spec with everything that can change its number made explicit. Never host, paths or workers."""

    spec: RunSpec
    manifest: str  # digest of the rows
    backbone: str  # the backbone's own name: what the spec says, or a folder's name without its path
    adapter: str  # identity of the backbone: its weights, its transform, its text side
    num_frames: int
    sampling: str = SEGMENT_CENTRE
    bank: str | None  # digest of the statements the method is shown, after the control
    config: Pairs  # the method's config, whole
    versions: tuple[tuple[str, int], ...]  # VERSION of each plug-in and of the protocol

    @property
    def run_id(self) -> str:
        """12 hex characters; the same id is the same run."""
        return digest(self.identity(), 12)

    def identity(self) -> dict[str, Any]:
        """What the id is a hash of."""
        spec = self.spec
        # Only what differs from an ordinary run is told of tuning, so that ordinary runs keep the ids they had before there was any.
        tuning = {
            name: getattr(spec, name)
            for name in ("evaluation", "epoch_divisor", "study")
            if getattr(spec, name) != getattr(RunSpec, name)
        }
        return {
            "schema": SCHEMA,
            "dataset": spec.dataset,
            "manifest": self.manifest,
            "backbone": self.backbone,
            "adapter": self.adapter,
            "frames": [self.num_frames, self.sampling, spec.frames.decoder],
            "precision": spec.numerics,
            "protocol": [spec.protocol, spec.shots, spec.split, spec.seed],
            "method": spec.method,
            "config": [[name, _without_folder(value)] for name, value in self.config],
            "bank": [self.bank, spec.bank_control if self.bank else None],
            "versions": [list(pair) for pair in self.versions],
            **tuning,
        }


def _without_folder(value: Any) -> Any:
    """Of a setting FOLDER@DIGEST the digest: where a file lies is not what it is."""
    pinned = re.fullmatch(r".*(@[0-9a-f]{16})", value, re.DOTALL) if isinstance(value, str) else None
    return pinned[1] if pinned else value


def as_pairs(values: Mapping[str, Any] | Pairs) -> Pairs:
    """Sorted (name, value) pairs; lists become tuples so that a spec can be hashed and compared."""
    items = values.items() if isinstance(values, Mapping) else values
    return tuple(sorted((str(k), tuple(v) if isinstance(v, list) else v) for k, v in items))


def to_dict(spec: RunSpec) -> dict[str, Any]:
    """JSON-able form; `from_dict` reads it back."""
    out = dataclasses.asdict(spec)
    out["config"] = dict(spec.config)
    out["dataset_options"] = dict(spec.dataset_options)
    return out


def from_dict(values: Mapping[str, Any]) -> RunSpec:
    """Read a spec. Raises BenchError with every unknown field named at once."""
    values = dict(values)
    if isinstance(values.get("frames"), Mapping):
        values["frames"] = FrameSpec(**_known("the frames of a run spec", FrameSpec, values["frames"]))
    return RunSpec(**_known("a run spec", RunSpec, values))


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


def _known(what: str, of: type, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values, where there is no unknown field among them and none without a default is missing."""
    fields = {f.name: f for f in dataclasses.fields(of)}
    if unknown := sorted(set(values) - set(fields)):
        raise BenchError(f"{what} has no field {', '.join(unknown)}; its fields are {', '.join(fields)}")
    needed = [n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
    if lacking := [n for n in needed if n not in values]:
        raise BenchError(f"{what} lacks {', '.join(lacking)}")
    return values


def split_control(text: str) -> tuple[str, str]:
    """Such as "wrong:4" -> name and value, "" where it takes none. Raises BenchError on an unknown control or a value that does not fit."""
    name, colon, value = text.partition(":")
    _one_of("bank_control", name, tuple(BANK_CONTROLS))
    takes = "{}" in BANK_CONTROLS[name]
    if takes != bool(value) or (colon and not value):
        raise BenchError(
            f"the bank control {text!r} {'needs a value, such as' if takes else 'takes no value:'} {name}{':2' * takes}"
        )
    return name, value


def _one_of(what: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise BenchError(f"unknown {what} {value!r}; it is one of {', '.join(valid)}")


def list_name(dataset: str) -> str:
    """A data set's own name, without what tells several lists of its videos apart in tables."""
    return dataset.split(" [rows ")[0].split(", at most ")[0]
