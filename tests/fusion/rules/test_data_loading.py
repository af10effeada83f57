"""Waiting for a batch, with workers and without."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import held_up
from tests.fusion.scenes import Item, annotation, claims, found_by, op, scene
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Recording

WAIT = 2_000_000
SINGLE = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
MULTI = "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__"


@pytest.mark.left_out
@pytest.mark.parametrize("loader, said, more", [
    (SINGLE, "; the loader has no workers", False),
    (MULTI, "; the loader has workers already", True),
    ("enumerate(DataLoader)#MyIter.__next__", "of the window", False),
])  # fmt: skip
def test_the_wait_is_the_most_that_is_saved_and_workers_are_named(
    loader: str, said: str, more: bool
) -> None:  # fmt: skip
    graph = held_up("", WAIT, annotated=loader)
    (match,) = found_by(graph, "data_loading")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == graph.idle_ns("data_loading") == pytest.approx(WAIT, rel=0.01)
    assert match.evidence.endswith(said)
    assert ("more workers" in match.action) is more


@pytest.mark.left_out
@pytest.mark.parametrize("wait, annotated", [(400, SINGLE), (WAIT, "next_batch")])
def test_a_short_wait_or_another_scope_is_none(wait: int, annotated: str) -> None:
    assert "data_loading" not in claims(held_up("", wait, annotated=annotated, busy=100_000))


def test_on_a_cpu_operators_inside_the_loader_are_loading_too() -> None:
    loading = annotation(SINGLE, op("stack", (64, 1024), ns=WAIT))
    graph = scene(loading, op("mm", (512, 512), (512, 512), ns=WAIT), steps=2, on_cpu=True)
    (match,) = found_by(graph, "data_loading")
    assert match.title == "The main process loads each batch itself (num_workers=0)"
    assert match.saved is not None and match.saved.low == 0
    assert match.saved.high == pytest.approx(WAIT, rel=0.01)
    assert "in operators" in match.evidence and "no workers" in match.evidence


def loaded(threads: int | None, *rest: Item, loading_ns: int = WAIT) -> StepGraph:
    """Steps of a CPU with so many threads, whose main process loads with one operator before the rest."""
    loading = annotation(SINGLE, op("stack", (64, 1024), ns=loading_ns))
    return scene(loading, *rest, steps=2, on_cpu=True, recording=Recording(threads=threads))


def test_what_the_loader_computes_is_no_wait_that_the_profiler_made_longer() -> None:
    """A step of 4 ms that took 8 under the profiler waited for nothing, but loads for 2 ms."""
    product = op("mm", (512, 512), (512, 512), ns=WAIT)
    slowed = Recording(unprofiled_step_ns=2 * WAIT, profiled_step_ns=4 * WAIT)
    graph = scene(annotation(SINGLE, op("stack", (64, 1024), ns=WAIT)), product, steps=2, on_cpu=True,
                  recording=slowed)  # fmt: skip
    (match,) = found_by(graph, "data_loading")
    assert match.saved is not None and match.saved.high == pytest.approx(WAIT, rel=0.01)


def test_a_worker_takes_one_core_of_a_step_with_several_threads() -> None:
    """2 ms of loading are 2 ms of one core: two threads have it back in 1 ms, 64 hardly notice."""
    product = op("mm", (512, 512), (512, 512), ns=WAIT)
    bands = []
    for threads in (2, 4, 64, 1, None):
        (match,) = found_by(loaded(threads, product), "data_loading")
        assert match.saved is not None and match.saved.low == 0
        assert match.saved.high == pytest.approx(WAIT, rel=0.01), "cores may be there that nobody uses"
        bands.append(match.saved.mid)
    assert bands[0] == pytest.approx(WAIT / 2, rel=0.01)
    assert bands[0] < bands[1] < bands[2] < bands[3] == bands[4] == pytest.approx(WAIT, rel=0.01)


@pytest.mark.parametrize("threads", [None, 1, 2, 64])
def test_what_takes_most_of_a_step_is_told_first_on_any_cpu(threads: int | None) -> None:
    chain = [op(name, (1024, 1024), ns=15 * WAIT) for name in ("exp", "tanh", "sigmoid")]
    found = suggestions(loaded(threads, *chain, loading_ns=100 * WAIT)).found or ()
    assert [each.rule for each in found][0] == "data_loading" and len(found) > 1
    saving = found[0].saving_per_step_ns
    assert saving is not None and saving.high == pytest.approx(100 * WAIT, rel=0.01)


@pytest.mark.parametrize("threads", [None, 1, 2, 64])
def test_workers_on_a_cpu_keep_up_with_the_step_or_use_its_cores(threads: int | None) -> None:
    """A batch of 200 ms each 90 ms takes three; two where the step has two threads."""
    graph = loaded(threads, op("mm", (512, 512), (512, 512), ns=45 * WAIT), loading_ns=100 * WAIT)
    (match,) = found_by(graph, "data_loading")
    assert f"num_workers={2 if threads == 2 else 3}," in match.snippet


def test_small_operators_inside_the_loader_are_the_loaders_alone() -> None:
    small = [op("mul", (4, 4), (4, 4), ns=6_000) for _ in range(300)]
    product = op("mm", (512, 512), (512, 512), ns=WAIT)
    graph = scene(annotation(SINGLE, *small), product, steps=2, on_cpu=True)
    (match,) = found_by(graph, "data_loading")
    assert len(match.nodes) == 300 and not found_by(graph, "small_operators")
    assert "in Python and storage" not in match.evidence, "there is no such rest"
    (told,) = suggestions(graph).found or ()
    assert told.rule == "data_loading" and told.saving_per_step_ns is not None
    assert told.saving_per_step_ns.high == pytest.approx(sum(node.time_ns for node in match.nodes), rel=0.01)
    outside = scene(*small, product, steps=2, on_cpu=True)
    assert len(found_by(outside, "small_operators")) == 1


@pytest.mark.parametrize(("stack", "library"), [
    (("train.py(12): main", "transformers/pipelines/pt_utils.py(249): __next__"), "transformers"),
    (("train.py(12): main", "site-packages/loaders/feed.py(9): batches"), "loaders"),
    (("transformers/trainer.py(2): train", "train.py(12): batches"), None),
    (("train.py(12): main",), None),
    ((), None),
])  # fmt: skip
def test_who_makes_the_loader_decides_what_is_advised(stack: tuple[str, ...], library: str | None) -> None:
    """By the function that asks for the batch: a library's own loader has no line of the user's."""
    (match,) = found_by(held_up("", WAIT, under=stack, annotated=SINGLE), "data_loading")
    if library is None:
        assert not match.action and not match.snippet, "the rule's own: a DataLoader of the user's"
    else:
        assert library in match.action and "DataLoader" not in match.action + match.snippet
        assert "num_workers" in match.snippet
