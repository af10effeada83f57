"""Loops whose steps are known by construction: operators at their host times, kernels behind them (µs)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.pipeline.kineto import Kineto, Tensor
from traceanalyzer.analyzing import analyze
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Job

F32 = "float"
HALF = "c10::Half"
MM = "sm80_xmma_gemm_f16f16_f16f32_f32_nn_n"
LAUNCHED = 20  # µs from one operator to the next


@dataclass(frozen=True)
class Work:
    """One operator and the kernel that it launches, or an operator-less copy."""

    op: str
    kernel: str
    dur: float
    inputs: tuple[Tensor, ...] = ()


def mm(rows: int, inner: int, columns: int, dur: float) -> Work:
    return Work("aten::mm", MM, dur, (([rows, inner], HALF), ([inner, columns], HALF)))


def act(op: str, size: Sequence[int], dur: float) -> Work:
    return Work(op, f"vectorized_elementwise_kernel_{op.split('::')[-1]}", dur, ((list(size), HALF),))


COPY_OUT = "Memcpy DtoH (Device -> Pageable)"


@dataclass
class Loop:
    """A host that launches one operator after the other and waits for the device at the end of a step."""

    trace: Kineto = field(default_factory=Kineto)
    now: float = 1000
    number: int = 5
    names: bool = True  # whether steps are annotated

    def step(self, *works: Work, before: float = 0, doing: str = "") -> float:
        """Work of one step; `before` it the host does something else, under the annotation `doing`."""
        begin = self.now
        if doing:
            self.trace.annotation(doing, self.now + 1, before - 2)
        self.now += before
        device = self.now
        for work in works:
            launched = self.trace.launch(self.now + 1)
            device = max(device, self.now + 5)
            if work.op:
                self.trace.op(work.op, self.now, 10, *work.inputs)
                self.trace.kernel(work.kernel, device, work.dur, launched)
            else:
                self.trace.kernel(work.kernel, device, work.dur, launched, cat="gpu_memcpy")
            device += work.dur
            self.now += LAUNCHED
        self.trace.launch(self.now, api="cudaDeviceSynchronize", dur=max(1, device - self.now))
        self.now = max(self.now + 1, device)
        if self.names:
            self.trace.annotation(f"ProfilerStep#{self.number}", begin, self.now - begin)
        self.number += 1
        return self.now - begin

    def told(self, folder: Path, *what_if: str) -> Job:
        """Its analysis, and projections onto other devices."""
        options = AnalyzeOptions(what_if=what_if)
        return analyze(self.trace.write(folder / "loop.json"), options=options)
