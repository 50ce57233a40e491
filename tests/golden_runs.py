"""Made-up results that the golden files of tables are rendered from: one rich home, and what goes wrong in homes."""

from fake_results import COOP, FEW, KNOWING, FakeResults

COSTS = {
    "num_parameters": 150_000_000,
    "resolution": 224,
    "gflops": 281.2,
    "feature_ms": 41.5,
    "hardware": "a CPU, 2 cores",
}
LEARNT = {
    "fit_seconds": 12.5,
    "predict_ms": 0.21,
    "peak_memory_mb": 1510.0,
    "start_memory_mb": 1200.0,
    "num_trainable": 8192,
    **COSTS,
}
FREE = {
    "fit_seconds": 0.0,
    "predict_ms": 0.11,
    "peak_memory_mb": 900.0,
    "start_memory_mb": 890.5,
    "num_trainable": 0,
    **COSTS,
}
KNOWLEDGE = {**FEW, "method": "knowledge_prompt", "label": "knowledge prompt", "bank": "toy", "text_source": ""}
TOLD = {
    "num_words": 3,
    "between_words": 0.8,
    "context": [
        {"class": "", "position": 1, "nearest": [["hand", 0.4], ["arm", 0.81], ["leg", 1.2]]},
        {"class": "", "position": 2, "nearest": [["leg", 2.0], ["arm", 2.5], ["hand", 3.0]]},
    ],
    "videos": [],
}
REAL = {"toy_scale": False, "pretraining": "web pairs", "num_pool": 120, "num_classes": 5}


def paper():
    """Two data sets of which one has three overlapping splits, two backbones, every protocol, an ablation, a failure and an n/a."""
    results = FakeResults()
    for backbone, gain in (("clip", 0.0), ("siglip", 0.05)):
        facts = {**REAL, "backbone": backbone}
        for dataset, base in (("actions", 0.4), ("gait_100%", 0.5)):
            splits = ("1", "2", "3") if dataset == "actions" else ("1",)
            where = {**facts, "dataset": dataset}
            for i, split in enumerate(splits):
                level, on = base + gain + 0.05 * i, {**where, "split": split, **FREE}
                results.add([level, level - 0.1, level + 0.1, level], **on)
                results.add([level + 0.2, level, level + 0.3, level + 0.1], **{**on, **KNOWING})
            for seed in (1, 2, 3):
                on = {**where, "split": str(seed) if len(splits) > 1 else "1", "seed": seed}
                shuffled = {**KNOWING, "bank_control": "shuffled", "label": "descriptions (shuffled)"}
                results.add([0.1 * seed, 0.1, 0.2, 0.1], **{**on, **shuffled, **FREE})
                for shots in (1, 4):
                    level, some = base + gain + 0.05 * shots + 0.02 * seed, {**on, **LEARNT, "shots": shots}
                    results.add([level, level, level + 0.1, level - 0.1], **{**COOP, **some})
                    better = [level + 0.2, level + 0.1, level + 0.2, level]
                    results.add(better, config='{"context": 8}', told=TOLD, is_default=True, **{**KNOWLEDGE, **some})
                    if dataset == "actions" and shots == 4:
                        for label, config, lost in (("4 tokens", 4, 0.1), ("16 tokens", 16, -0.05)):
                            named = {**KNOWLEDGE, **some, "label": f"knowledge prompt, {label}"}
                            results.add([x - lost for x in better], config=f'{{"context": {config}}}', **named)
                over = {"protocol": "base_to_novel", **on, **LEARNT, "shots": 4}
                lower, higher = [0.4 + gain, 0.3, 0.5, 0.4], [0.6, 0.5 + gain, 0.6, 0.7]
                results.add([0.6 + 0.05 * seed, 0.6, 0.7, 0.8], novel=lower, **{**COOP, **over})
                results.add([0.6 + 0.05 * seed, 0.7, 0.7, 0.7], novel=higher, **{**KNOWLEDGE, **over})
            zero = {"protocol": "base_to_novel", **where, **FREE, "shots": 4, "split": "1"}
            results.add([0.5, 0.4, 0.6, 0.5], novel=[0.7, 0.6, 0.6, 0.5], **{**zero, **KNOWING})
    last = {**REAL, "backbone": "siglip", "dataset": "actions", "seed": 3, "split": "3"}
    probe = {**FEW, "method": "probe", "label": "linear probe", "trainable": "head"}
    results.add(status="failed", reason="TrainingDiverged: the loss is nan", **{**last, **COOP, "label": "CoOp, hot"})
    results.add(status="n/a", reason="NotApplicable: no text side", **{**last, **probe})
    return results


def empty():
    return FakeResults()


def one_row():
    results = FakeResults()
    results.add()
    return results


def missing_seed():
    """Three seeds of one method, two of the other."""
    results = FakeResults()
    for seed in (1, 2, 3):
        results.add([0.5, 0.6, 0.5 + 0.1 * seed], seed=seed, **COOP)
        if seed < 3:
            results.add([0.7, 0.6, 0.7], seed=seed, **KNOWLEDGE)
    return results


def failed_run():
    """One seed of three failed, one method failed altogether."""
    results = FakeResults()
    for seed in (1, 2):
        results.add([0.5, 0.6, 0.5 + 0.1 * seed], seed=seed, **COOP)
    results.add(seed=3, status="failed", reason="RuntimeError: disk full", **COOP)
    results.add(status="failed", reason="TrainingDiverged: the loss is nan", **KNOWLEDGE)
    return results


def proposals(num, names=("learning_rate", "num_context_tokens", "context_init")):
    """Settings that differ from trial to trial, one of them there for some alone."""
    kinds = ("random", "phrase", "knowledge")
    for n in range(num):
        found = {
            "learning_rate": round(10 ** (-4 + 3 * (n * 7 % 10) / 10), 6),
            "num_context_tokens": (4, 8, 16)[n % 3],
            "context_init": kinds[n % 3 if n % 2 else 0],
        }
        yield {name: found[name] for name in names}


def tuned():
    """Three methods on two backbones: one pruned, with a failure, one for two objectives; one that goes on, one without result."""
    results = FakeResults()
    knowing = {"method": "knowledge_prompt", "label": "knowledge prompt, 8 tokens"}
    for backbone, gain in (("clip", 0.0), ("siglip", 0.1)):
        on = {**REAL, "backbone": backbone, "dataset": "gait_100%"}
        reach = [0.35 + gain + 0.05 * (n * 5 % 7) for n in range(12)]
        coop = results.add_study(
            [(p, (v,), ()) for p, v in zip(proposals(12, ("learning_rate", "num_context_tokens")), reach, strict=True)],
            **on,
        )
        trials = []
        for n, (p, v) in enumerate(zip(proposals(12), reach, strict=True)):
            scores = (v - 0.1, v, v + 0.08)[: 3 if n in (4, 10) else 1 + n % 2]
            trials.append((p, (), "TrainingDiverged: the loss is nan") if n == 7 else (p, scores, ()))
        known = results.add_study(trials, divisors=(9, 3, 1), **{**on, **knowing})
        probe = [({"c": 10.0 ** (n % 4 - 2)}, (0.4 + 0.05 * n % 0.3,), (n % 5 + 0.25,)) for n in range(12)]
        results.add_study(
            probe, objectives=("accuracy", "cost"), **{**on, "method": "linear_probe", "label": "linear probe"}
        )
        for seed in (1, 2, 3):
            level = 0.5 + gain + 0.02 * seed
            some = {**on, **LEARNT, "seed": seed, "split": "1", "tuning_trials": 12}
            results.add([level] * 4, **{**COOP, **some, "label": "CoOp, tuned in 12 trials", "study": coop})
            if backbone == "clip" or seed < 3:
                named = {"label": "knowledge prompt, tuned in 12 trials", "study": known}
                results.add([level + 0.1, level, level, level + 0.1], **{**KNOWLEDGE, **some, **named})
    on = {**REAL, "backbone": "clip", "dataset": "actions", "protocol": "cross_subject", "shots": None}
    some = list(proposals(6))
    results.add_study([(some[0], (0.5,), ()), (some[1], None, ())], budget=8, **on)
    results.add_study([(p, (), "RuntimeError: no luck") for p in some], **{**on, **knowing})
    return results


CASES = {case.__name__: case for case in (paper, tuned, empty, one_row, missing_seed, failed_run)}
