"""Steps of kernels with time between them, for rules of what the device waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.fusion.test_rules import judged
from tests.trace.build import Rows
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records import OpCall, Recording
from traceanalyzer.records.trace import RecordKind

BUSY, CALL = 5_000, 2_000  # ns of a kernel and of the call that launches it


def launched(
    gaps: Sequence[int], steps: int = 1, launch: str = "cudaLaunchKernel", recording: Recording | None = None,
    waiting: str = "", under: Sequence[str] = (), behind: int = 0, sizes: Sequence[int] = (),
) -> StepGraph:  # fmt: skip
    """Kernels of BUSY ns; each is launched within the gap before it, CALL ns before the gap ends.

    `waiting`: a call of each step under operators, which follows its kernel of the number `behind`.
    `sizes`: of the tensors of each step.
    """
    rows, now, number = Rows(), 10_000, 0
    for step in range(max(1, steps)):
        begin = now
        for place, gap in enumerate(gaps):
            number += 1
            now += gap
            dims = ((sizes[step],),) if sizes else ()
            rows.op("aten::relu", now - CALL - 1, now, call=OpCall("aten::relu", dims) if dims else None)
            rows.launch(number, now - CALL, name=launch, end=now)
            rows.kernel("kernel", now, now + BUSY, number)
            now += BUSY
            if waiting and place == behind:
                for depth, name in enumerate(under):
                    rows.op(name, now + depth, now + 100 - depth)
                number += 1
                rows.launch(number, now + 10, name=waiting, end=now + 90)
                now += 200
        if steps:
            rows.annotation(f"ProfilerStep#{step}", begin, now)
    return judged(replace(rows.trace(), recording=recording))


def held_up(
    call: str, gap: int, under: Sequence[str] = (), annotated: str = "", copy: str = "", copied: int = -1,
    busy: int = BUSY,
) -> StepGraph:  # fmt: skip
    """One step: a kernel, `gap` ns in which the host is inside `call`, under operators, and a kernel."""
    rows, begin = Rows(), 10_000
    end = begin + busy + gap
    rows.op("aten::relu", begin - CALL - 2, begin - 1)
    rows.launch(1, begin - CALL, end=begin - 1)
    rows.kernel("kernel", begin, begin + busy, 1)
    for depth, name in enumerate(under):
        rows.op(name, begin + depth, end - depth - 50)
    if annotated:
        rows.annotation(annotated, begin + 1, end - 50)
    if call:
        rows.launch(2, begin + 100, name=call, end=end - 100)
    if copy:
        rows.kernel(copy, end - 150, end - 100, 2, kind=RecordKind.MEMCPY)
    rows.op("aten::relu", end - 40, end - 1)
    rows.launch(3, end - 30, end=end - 2)
    rows.kernel("kernel", end, end + busy, 3)
    rows.annotation("ProfilerStep#0", begin - CALL - 10, end + busy)
    return _copied(judged(rows.trace()), copied)


def _copied(graph: StepGraph, size: int) -> StepGraph:
    """The same step, whose copies are of so many bytes."""
    trace = graph.trace
    kernels = replace(trace.kernels, copied_bytes=np.where(trace.kernels.kind == RecordKind.MEMCPY, size, -1))
    priced = replace(graph.judged.priced, trace=replace(trace, kernels=kernels))
    return replace(graph, judged=replace(graph.judged, priced=priced))
