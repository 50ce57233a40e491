"""What the sweeps share: a data set's replicates, and specs with the user's choice filled in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.specs import FrameSpec, RunSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.contracts import Choice

NUM_SHUFFLES = 10  # one permutation of C classes has about one fixed point: a single shuffle says little
LEARNT = ("linear_probe", "coop", "knowledge_prompt")
MIDDLE = 4  # the few-shot size of ablations, where the data set has it
TSM = "mmaction2:tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"
SMALL = {
    "epochs": 3,
    "batch_size": 4,
    "optimizer": "AdamW",
    "learning_rate": 0.001,
    "frames": 4,
    "resolution": 64,
    "views": "one",
}
SOURCES = ("class_names", "templates", "descriptions")


def replicates(choice: Choice) -> Iterator[tuple[int, str]]:
    """(seed, split): the replicate r is seed r, on published split or fold r where the data set has several."""
    for seed in choice.seeds or choice.dataset.replicates:
        yield seed, str(seed) if choice.dataset.split_per_seed else "1"


def spec(choice: Choice, **fields: Any) -> RunSpec:
    """A spec on the chosen data set."""
    asked = {name: value for method, name, value in choice.config if method == fields["method"]}
    fields["config"] = {**fields.get("config", {}), **asked}
    return RunSpec(
        dataset=choice.dataset.name,
        root=choice.root,
        dataset_options=choice.options,
        limit=choice.limit,
        bank=choice.bank,
        frames=FrameSpec(num_frames=choice.num_frames),
        precision=choice.precision,
        compile=choice.compile,
        **fields,
    )


def wanted(choice: Choice, method: str) -> bool:
    return choice.methods is None or method in choice.methods


def zero_shot(
    choice: Choice, backbone: str, protocol: str = "zero_shot", shots: int | None = None
) -> Iterator[RunSpec]:
    """Class names, templates, descriptions, and the same descriptions dealt to the wrong classes, in several deals."""
    if not wanted(choice, "zero_shot"):
        return
    rounds = list(replicates(choice)) if choice.dataset.split_per_seed else [(1, "1")]
    where: dict[str, Any] = {"backbone": backbone, "method": "zero_shot", "protocol": protocol, "shots": shots}
    for source in SOURCES:
        if source == "descriptions" and not choice.has_knowledge:
            continue
        for seed, split in rounds:
            config = {"text": source}
            yield spec(choice, **where, config=config, seed=seed, split=split)
    if not choice.has_knowledge:
        return
    for shuffle in range(1, NUM_SHUFFLES + 1):
        split = rounds[(shuffle - 1) % len(rounds)][1]
        config = {"text": "descriptions"}
        yield spec(choice, **where, config=config, bank_control="shuffled", seed=shuffle, split=split)


def few_shot(choice: Choice, backbone: str) -> Iterator[RunSpec]:
    """Every learnt method at every number of shots, all replicates."""
    for shots in choice.shots or choice.dataset.shots:
        yield from learnt(choice, backbone, "few_shot", shots)


def learnt(choice: Choice, backbone: str, protocol: str, shots: int) -> Iterator[RunSpec]:
    """Every learnt method under a protocol with shots, all replicates."""
    others = [
        m for m in choice.methods or () if m not in (*LEARNT, "zero_shot", "majority", "mmaction2_as_is")
    ]  # ones this file never heard of
    for method in (*LEARNT, *others):
        if not wanted(choice, method) or (method == "knowledge_prompt" and not choice.has_knowledge):
            continue
        for seed, split in replicates(choice):
            yield spec(choice, backbone=backbone, method=method, protocol=protocol, shots=shots, seed=seed, split=split)


def majority(choice: Choice, backbone: str) -> Iterator[RunSpec]:
    """The floor: the most frequent class of all training videos."""
    if wanted(choice, "majority"):
        rounds = list(replicates(choice)) if choice.dataset.split_per_seed else [(1, "1")]
        for seed, split in rounds:
            yield spec(choice, backbone=backbone, method="majority", protocol="cross_subject", seed=seed, split=split)


def as_is(choice: Choice, backbone: str) -> Iterator[RunSpec]:
    """A recogniser with its own classes, where the user asks for it: which of them mean which is his to say."""
    if "mmaction2_as_is" in (choice.methods or ()):
        for split in dict.fromkeys(split for _, split in replicates(choice)):
            yield spec(choice, backbone=backbone, method="mmaction2_as_is", split=split)


def recognizer(choice: Choice) -> Iterator[RunSpec]:
    """A small supervised recogniser trained from scratch on the toy set: the whole path of training on frames, at a laptop's price.

    One seed, for it costs more than all else; not where the user named backbones or how they see.
    """
    plain = (choice.num_frames, choice.precision, choice.compile) == (None, "float32", False)
    if choice.dataset.name != "toy" or choice.named or not plain or not wanted(choice, "mmaction2_recognizer"):
        return
    shots, (seed, split) = ablation_shots(choice)[0], next(replicates(choice))
    where: dict[str, Any] = {"backbone": TSM, "protocol": "few_shot", "shots": shots, "seed": seed, "split": split}
    yield spec(choice, method="mmaction2_recognizer", config=SMALL, **where)


def ablation_shots(choice: Choice) -> tuple[int, ...]:
    """The few-shot sizes of an ablation: one in the middle, unless the user names others."""
    sizes = choice.dataset.shots
    return choice.shots or ((MIDDLE,) if MIDDLE in sizes else sizes[len(sizes) // 2 : len(sizes) // 2 + 1])


def ablation(
    choice: Choice,
    configs: Sequence[Mapping[str, Any]],
    controls: Sequence[str] = ("none",),
    method: str = "knowledge_prompt",
) -> Iterator[RunSpec]:
    """A method under few-shot with each config and each control of the bank, all replicates; the reference is among them."""
    if not wanted(choice, method) or (method == "knowledge_prompt" and not choice.has_knowledge):
        return
    for backbone in choice.backbones:
        for shots in ablation_shots(choice):
            where: dict[str, Any] = {"backbone": backbone, "method": method, "protocol": "few_shot", "shots": shots}
            for config in configs:
                for control in controls:
                    for seed, split in replicates(choice):
                        yield spec(choice, **where, config=config, bank_control=control, seed=seed, split=split)
