"""Waiting for a batch, with workers and without."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import held_up
from tests.fusion.scenes import annotation, claims, found_by, op, scene
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


@pytest.mark.parametrize(("threads", "promised"), [(1, True), (2, False)])
def test_workers_take_cores_from_a_step_with_several_threads(threads: int, promised: bool) -> None:
    loading = annotation(SINGLE, op("stack", (64, 1024), ns=WAIT))
    known = Recording(threads=threads)
    graph = scene(loading, op("mm", (512, 512), (512, 512), ns=WAIT), steps=2, on_cpu=True, recording=known)
    (told,) = [each for each in suggestions(graph).found or () if each.rule == "data_loading"]
    assert (told.saving_per_step_ns is not None) == promised


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
