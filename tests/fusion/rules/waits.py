"""Steps of kernels with time between them, for rules of what the device waits for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

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


Deed = tuple[str, str, int]
"""What the host does in a gap: `call`, `annotation`, `python`, `beside` or `copy`; its name; its ns."""
LAUNCH = 10_000  # ns from a deed to the kernel after it


def doing(*steps: Sequence[Deed], copied: int = -1, busy: int = BUSY, named: bool = True) -> StepGraph:
    """Steps of two kernels; between them the host does one thing after another, and the device waits.

    `copied`: bytes of each copy. `named`: whether the trace says where a step begins.
    """
    rows, now = Rows(), 10_000
    for place, deeds in enumerate(steps):
        begin = now
        now = _kernel(rows, now + LAUNCH, busy)
        for deed in deeds:
            now = _done(rows, now, *deed)
        now = _kernel(rows, now + LAUNCH, busy)
        if named:
            rows.annotation(f"ProfilerStep#{place}", begin, now)
    return _copied(judged(rows.trace()), copied)


def _kernel(rows: Rows, start: int, busy: int) -> int:
    """Launched CALL ns before it starts."""
    number = len(rows.launches) + 1
    rows.op("aten::relu", start - CALL - 10, start - 5)
    rows.launch(number, start - CALL, end=start - 10)
    rows.kernel("kernel", start, start + busy, number)
    return start + busy


def _done(rows: Rows, now: int, kind: str, name: str, ns: int) -> int:
    number, end = len(rows.launches) + 1, now + ns
    if kind == "call":
        rows.launch(number, now, name=name, end=end)
    elif kind == "annotation":
        rows.annotation(name, now, end)
    elif kind in ("python", "beside"):
        rows.span(name, now, end, thread=0 if kind == "python" else 3)
    else:
        rows.launch(number, now, name="cudaMemcpyAsync", end=end)
        rows.kernel(name, end - 200, end - 100, number, kind=RecordKind.MEMCPY)
    return now if kind == "beside" else end
