"""How an Analysis is handed to other tools: `records.exporter` declares these."""

from __future__ import annotations

from typing import Any

from traceanalyzer.records import Analysis, ranks_of
from traceanalyzer.trace.linking.processes import file_named


def hta(analysis: Analysis) -> Any:
    """HolisticTraceAnalysis over the traces of all its ranks, which are read again."""
    from traceanalyzer.ranks.hta import trace_analysis

    entries = [entry.file for entry in ranks_of(analysis)] or [analysis.source.files[0].path]
    return trace_analysis(tuple(dict.fromkeys(map(file_named, entries))))
