"""Waits inside the wrapper of compiled code, and which of them graphs do not shorten."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import LAUNCH, Deed, doing, launched
from tests.fusion.scenes import claims, found_by
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Suggestion

MS = 1_000_000
WRAPPER = "## Call CompiledFxGraph fem7v7a2b5fjalpsipmt ##"
LOADING = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"


def waiting(ns: int, name: str = WRAPPER, busy: int = 5 * MS, steps: int = 3, loading: int = 0) -> StepGraph:
    """Steps of two kernels of `busy` ns, between which the host is so long in the wrapper."""
    deeds: list[Deed] = [("annotation", name, ns)]
    if loading:
        deeds.append(("annotation", LOADING, loading))
    return doing(*[deeds] * steps, busy=busy)


def suggested(graph: StepGraph) -> list[Suggestion]:
    return [each for each in suggestions(graph).found or () if each.rule == "compiled_launches"]


@pytest.mark.parametrize("name", [WRAPPER, "Torch-Compiled Region: 0/1", "CompiledFunctionBackward"])
def test_a_wait_in_compiled_code_may_go_and_is_never_proved(name: str) -> None:
    (match,) = found_by(waiting(10 * MS, name), "compiled_launches")
    assert match.tier == "T3" and not match.nodes and match.saved is not None
    assert match.saved.low == 0 and match.saved.high == pytest.approx(10 * MS, rel=0.01)
    assert match.evidence.endswith(f"while the host is in {name}")
    (told,) = suggested(waiting(10 * MS, name))
    assert 'mode="reduce-overhead"' in told.action and 'mode="reduce-overhead"' in told.snippet
    for words in ("shapes must not change", "fixed addresses", "results on the host", "does not say what"):
        assert any(words in caveat for caveat in told.caveats), words


def test_the_same_wait_is_promised_by_no_other_rule() -> None:
    graph = waiting(10 * MS)
    assert "host_work" not in claims(graph)
    high = sum(s.saving_per_step_ns.high for s in suggestions(graph).found or () if s.saving_per_step_ns)
    assert high <= (10 * MS + 3 * LAUNCH) * 1.01


@pytest.mark.left_out
@pytest.mark.parametrize("graph", [
    waiting(2 * MS, busy=50 * MS),                              # 2 % of the window
    waiting(10 * MS, "tokenize"),                               # other work
    waiting(10 * MS, loading=12 * MS),                          # it would wait for data instead
    launched([10 * MS] * 3, steps=3, launch="cudaGraphLaunch"), # graphs already
], ids=["short", "other", "loading", "graphs"])  # fmt: skip
def test_what_replaying_does_not_help(graph: StepGraph) -> None:
    assert "compiled_launches" not in claims(graph)


def test_a_little_loading_beside_hinders_nothing() -> None:
    assert "compiled_launches" in claims(waiting(10 * MS, loading=5 * MS))


@pytest.mark.left_out
def test_without_steps_no_time_is_promised() -> None:
    graph = doing([("annotation", WRAPPER, 10 * MS)], busy=5 * MS, named=False)
    assert [match.saved for match in found_by(graph, "compiled_launches")] == [None]
