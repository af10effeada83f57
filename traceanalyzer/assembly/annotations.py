"""`annotations_for`: what is written into the rows of a trace about one device that was judged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.records.annotations import Annotations, Mark
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.suggestion import Suggestions
from traceanalyzer.records.trace import Pieces, Trace
from traceanalyzer.roofline.record_costs import record_costs


def annotations_for(judged: Judged, suggestions: Suggestions, shown: Judged, label: str) -> Annotations:
    """`shown`: the step that the suggestions are of, or `judged`."""
    trace = judged.priced.trace
    kernels = trace.kernels
    every = np.arange(len(kernels), dtype=np.int32)
    return Annotations(
        label=label, on_cpu=trace.on_cpu, file_row=kernels.file_row, costs=record_costs(judged),
        pieces=trace.pieces or Pieces(kernels.start_ns, kernels.end_ns, every),
        marks=tuple(_marks(trace, suggestions, shown)), warnings=trace.warnings,
    )  # fmt: skip


def _marks(trace: Trace, suggestions: Suggestions, shown: Judged) -> Iterator[Mark]:
    """Each on the first record of its first operator; of no operator's, on the first of the step."""
    inside = np.flatnonzero(shown.times.inside)
    if not len(inside):
        return
    for suggestion, op in zip(suggestions.found or (), suggestions.first_op, strict=True):
        record = _first_record(trace, op) if op >= 0 else -1
        yield Mark(record if record >= 0 else int(inside[0]), suggestion)


def _first_record(trace: Trace, op: int) -> int:
    """Of an operator and of what it calls; records go by their start. -1: there is none."""
    ops, of_record = trace.ops, trace.kernels.op
    row = np.maximum(of_record, 0)
    inside = (of_record >= op) & (ops.thread[row] == ops.thread[op])
    inside &= ops.start_ns[row] <= ops.end_ns[op]
    records = np.flatnonzero(inside)
    return int(records[0]) if len(records) else -1
