"""Steps recorded in this process, as rules see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import traceanalyzer
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import applied
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import step_graph_of


def recorded(step: Callable[[], object], folder: Path) -> StepGraph:
    """One timed step of several, and the executed one that proves who reads what."""
    path = folder / "live.json.gz"
    with traceanalyzer.profile(path, wait=1, warmup=1, active=1, roofs=False, force=True) as profiler:
        for _ in range(6):
            step()
            profiler.step()
    found = step_graph_of(path, AnalyzeOptions())
    assert found is not None
    return found


def matches(graph: StepGraph, rule: str) -> list[Match]:
    return next(found for known, found in applied(graph) if known.name == rule)
