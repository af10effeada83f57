"""Idle time is promised once: rules by stretch, against a twin that looks at one nanosecond after another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fusion.rules.waits import Deed, doing
from tests.fusion.test_rules import judged
from tests.pipeline import real
from tests.trace.build import Rows
from traceanalyzer.fusion.idle_claims import IDLE_RULES, claimed_idle, idle_claims
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import applied
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import step_graph_of

LOADING = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
DEEDS = (
    ("call", "cudaFree"), ("call", "cudaStreamSynchronize"), ("call", "cuModuleLoadData"),
    ("annotation", LOADING), ("annotation", "x (dynamo_timed)"), ("annotation", "evaluate"),
    ("python", "a.py(1): b"), ("beside", "c"),
    ("copy", "Memcpy HtoD (Pageable -> Device)"), ("copy", "Memcpy DtoH (Device -> Pageable)"),
)  # fmt: skip
deed = st.builds(lambda what, ns: (*what, ns), st.sampled_from(DEEDS), st.integers(300, 4_000_000))
steps = st.lists(st.lists(deed, max_size=6), min_size=1, max_size=5)


def check(graph: StepGraph) -> None:
    """No stretch is promised for more than it lasts, no cause for more than it takes, nothing twice."""
    graph = graph.over_all_steps
    claims, idle = idle_claims(graph), graph.judged.idle
    length = idle.end_ns - idle.start_ns
    of_rules = [claims.ns(rule) for rule in IDLE_RULES]
    assert all((ns >= 0).all() for ns in of_rules)
    assert (sum(of_rules, np.zeros(len(length), np.int64)) <= length).all()
    assert claimed_idle(graph, "launch_bound")[0] <= graph.idle_ns("launch_gap") / graph.step_count
    high = {
        rule.name: sum(match.saved.high for match in matches if match.saved)
        for rule, matches in applied(graph) if rule.name in IDLE_RULES
    }  # fmt: skip
    assert sum(high.values()) <= graph.judged.time.idle_ns / graph.step_count * (1 + 1e-9)
    assert all(ns <= claimed_idle(graph, name)[0] * (1 + 1e-9) for name, ns in high.items())


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([64, 50_000_000, -1]), st.booleans())
def test_nothing_idle_is_promised_twice(done: list[list[Deed]], copied: int, named: bool) -> None:
    check(doing(*done, copied=copied, named=named))


@pytest.mark.slow
def test_nothing_idle_of_real_traces_is_promised_twice(real_traces: Path) -> None:
    for file in real.files(real_traces):
        graph = step_graph_of(str(file), AnalyzeOptions())
        if graph is not None:
            check(graph)


def test_every_rule_of_idle_time_is_one() -> None:
    assert set(IDLE_RULES) <= {rule.name for rule in RULES} and len(set(IDLE_RULES)) == len(IDLE_RULES)


WORKED, REST = 50_000, 10_000


@pytest.mark.parametrize("waited", [0, 4_000, 20_000])
def test_a_gap_behind_a_wait_is_the_waits_as_far_as_the_device_had_worked(waited: int) -> None:
    """The device works until the call has lasted `waited` ns; then it is idle for REST ns of launching."""
    rows = Rows()
    rows.launch(1, 100, end=200)
    rows.kernel("kernel", 1_000, WORKED, 1)
    rows.op("aten::item", WORKED - waited, WORKED + 500)
    rows.launch(2, WORKED - waited, name="cudaStreamSynchronize", end=WORKED + 500)
    rows.op("aten::relu", WORKED + REST - 2_000, WORKED + REST - 100)
    rows.launch(3, WORKED + REST - 1_500, end=WORKED + REST - 200)
    rows.kernel("kernel", WORKED + REST, WORKED + REST + 5_000, 3)
    rows.annotation("ProfilerStep#0", 50, WORKED + REST + 5_000)
    claims = idle_claims(judged(rows.trace()))
    gap = min(waited, REST - 500)
    assert claims.ns("synchronisation").sum() == 500 + gap
    assert claims.ns("launch_bound").sum() == 950 + REST - 500 - gap, "950 ns before the first kernel"
