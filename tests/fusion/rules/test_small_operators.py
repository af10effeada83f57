"""Many operators on a CPU that take no longer than a call does."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, op, scene
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Recording

CALL = 6_000  # ns, near the floor


def small(count: int, ns: int = CALL) -> list[Item]:
    return [op("mm", (4, 4), (4, 4), ns=ns) for _ in range(count)]


def test_their_time_is_the_most_that_is_saved() -> None:
    graph = scene(*small(300), op("mm", (512, 512), (512, 512), ns=300 * CALL), steps=2, on_cpu=True)
    (match,) = found_by(graph, "small_operators")
    assert len(match.nodes) == 300 and match.tier == "T3"
    assert match.saved is not None and match.saved.low == 0
    assert match.saved.high == pytest.approx(300 * CALL, rel=0.01)
    assert "300 operators per step take 6.0" in match.evidence
    assert match.snippet == ""


def test_what_the_profiler_added_to_each_call_is_not_saved() -> None:
    recording = Recording(unprofiled_step_ns=100 * CALL, profiled_step_ns=300 * CALL)
    (match,) = found_by(scene(*small(300), steps=2, on_cpu=True, recording=recording), "small_operators")
    assert match.saved is not None and match.saved.high == pytest.approx(100 * CALL, rel=0.01)


def test_those_in_chains_that_another_rule_found_are_promised_once() -> None:
    """As a policy draws its actions one by one: chains of which none has a time worth its own advice."""
    size = (4, 4)
    chain = [op(name, size, ns=CALL) for name in ("exp", "sin", "cos")]
    graph = scene(*(item for _ in range(100) for item in (*small(1), *chain)), steps=2, on_cpu=True)
    chains = sum(len(match.nodes) for match in found_by(graph, "pointwise_chain"))
    assert chains == 300
    (match,) = found_by(graph, "small_operators")
    assert match.saved is not None and match.saved.high == pytest.approx(100 * CALL, rel=0.01)
    assert "400 operators per step" in match.evidence and "of it in what other changes save" in match.evidence


def test_threads_that_wait_for_each_other_make_small_work_long() -> None:
    (match,) = found_by(scene(*small(300, ns=400_000), steps=2, on_cpu=True), "small_operators")
    assert "take 400" in match.evidence and match.nodes[0].time_ns > 300_000


def test_several_threads_are_named() -> None:
    graph = scene(*small(300), steps=2, on_cpu=True, recording=Recording(threads=8))
    (match,) = found_by(graph, "small_operators")
    assert "8 threads share them" in match.evidence and "OMP_NUM_THREADS=1" in match.snippet


LARGE = [op("mm", (512, 512), (512, 512), ns=400_000) for _ in range(300)]


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    small(100), [*small(300), op("mm", (4096, 4096), (4096, 4096), ns=2000 * CALL)], LARGE,
], ids=["few", "a small part of the step", "each with much to do"])  # fmt: skip
def test_few_or_large_operators_are_none(items: list[Item]) -> None:
    assert "small_operators" not in claims(scene(*items, steps=2, on_cpu=True))


@pytest.mark.left_out
def test_a_gpus_launches_are_another_matter() -> None:
    assert "small_operators" not in claims(scene(*small(300), steps=2))


@pytest.mark.parametrize("threads", [1, 8])
def test_the_price_is_that_of_what_is_advised_first(threads: int) -> None:
    recording = Recording(threads=threads, script="fit.py")
    (told,) = suggestions(scene(*small(300), steps=2, on_cpu=True, recording=recording)).found or ()
    if threads > 1:
        assert told.snippet == "OMP_NUM_THREADS=1 python fit.py"
        assert told.cost_to_try == "one environment variable" and "one thread first" in told.action
    else:
        assert "torch.compile" in told.snippet and "compiling takes" in told.cost_to_try
        assert told.action.index("compile") < told.action.index("batches")
    assert "pays back" not in told.cost_to_try, "no trace shows how much of it is saved"
