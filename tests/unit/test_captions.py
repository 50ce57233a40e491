from fake_results import COOP, FakeResults

from results import _captions
from results._data import board


def caption(results, *tests, **more):
    whole = board(results)
    return _captions.of(whole, whole.cells, tests, **more)


def test_a_caption_states_protocol_frames_seeds_intervals_and_tests():
    results = FakeResults()
    results.add([0.4, 0.5, 0.6], num_frames=16)
    for shots in (1, 4):
        for seed in range(1, 6):
            results.add([0.1 * seed, 0.5, 0.6], seed=seed, **{**COOP, "shots": shots})
    said = caption(
        results, "paired t over 3 subjects, 2 degrees of freedom", "best", "exact McNemar over 30 videos, 4 discordant"
    )
    assert said == (
        "Protocol: zero-shot / few-shot (K = 1, 4); frames × views: 8 × 1, 16 × 1; seeds 1 to 5, split test; "
        "95 % intervals over 3 subjects, 5 seeds; tests: exact McNemar over videos, paired t over subjects, Holm-corrected."
    )


def test_numbers_of_groups_that_differ_are_a_span_and_seeds_with_gaps_are_listed():
    results = FakeResults()
    results.add([0.4, 0.5], seed=1)
    results.add([0.4, 0.5, 0.7], seed=1, dataset="b")
    results.add([0.5, 0.5, 0.7], seed=9, dataset="b", label="other")
    said = caption(results)
    assert "seeds 1, 9" in said and "over 2 to 3 subjects" in said and said.endswith("no tests.")


def test_what_cannot_be_told_is_said():
    results = FakeResults()
    results.add(status="failed", reason="disk full")
    said = caption(results, "not testable: one group", "no difference in any of 3 groups")
    assert "no complete run; no intervals; no tests." in said
    alone = FakeResults()
    alone.add([0.5])
    assert "no intervals" in caption(alone)


def test_many_seeds_are_counted():
    results = FakeResults()
    for seed in range(1, 41, 2):
        results.add([0.4, 0.5], seed=seed, label=f"m{seed}")
    assert "seeds 1 to 39 (20 of them)" in caption(results)


def test_numbers_without_an_interval_are_not_counted_among_what_intervals_are_over():
    results = FakeResults()
    for seed in (1, 2, 3):
        results.add([0.1 * seed, 0.5, 0.6], seed=seed, **COOP)
        results.add([0.5, 0.5, 0.6], seed=seed, **{**COOP, "label": "same", "method": "same"})
    results.add([0.5], label="one group")
    results.add(label="broken", status="failed", reason="disk full")
    assert "; 95 % intervals over 3 seeds; " in caption(results)
    assert "; no intervals; " in caption(results, intervals=())
