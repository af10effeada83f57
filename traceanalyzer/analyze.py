"""The pipeline: one trace in, one Analysis out. Composition only."""

from __future__ import annotations

from traceanalyzer.model import Analysis


def analyze(path: str) -> Analysis:
    """To be composed from the rooms."""
    raise NotImplementedError
