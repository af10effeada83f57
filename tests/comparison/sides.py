"""Runs to compare, made of rows by hand; every total is summed from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from tests.report.example import analysis_of
from traceanalyzer.records import (
    IDLE_CAUSES,
    VERDICTS,
    Dims,
    IdlePart,
    Job,
    OperatorClass,
    OpRow,
    Phase,
    Spread,
    StepPart,
)

_TYPES = {"bf16": "c10::BFloat16", "fp32": "float", "fp16": "c10::Half"}


def row(
    name: str, ns: int, *dims: Dims, phase: Phase | None = "forward", dtype: str = "bf16", calls: int = 3,
    module: str | None = None, flops: int | None = 0, operator_class: OperatorClass = "element_wise",
    **more: Any,
) -> OpRow:  # fmt: skip
    """An operator that takes so many ns in all steps together."""
    known: dict[str, Any] = {
        "input_strides": None, "concrete_inputs": None, "kernels": calls, "time_ns": ns, "attributed_ns": ns,
        "read_bytes": 100, "write_bytes": 100, "intensity": 0.5, "engine": "vector", "precision": dtype,
        "roof_ns": ns / 2, "efficiency": 0.5, "bound": "memory", "limiter": "neither",
        "verdict": "memory_bound", "flags": (), "reason": None, "kernel_names": (),
    }  # fmt: skip
    return OpRow(
        name=name if "::" in name or "_fused_" in name else f"aten::{name}", input_dims=tuple(dims) or None,
        input_types=tuple(_TYPES[dtype] if each else "Scalar" for each in dims) or None, phase=phase,
        module=module, calls=calls, flops=flops, operator_class=operator_class, **(known | more),
    )  # fmt: skip


def product(name: str, ns: int, *dims: Dims, flops: int = 6_000_000, **more: Any) -> OpRow:
    """A matmul or a convolution."""
    return row(name, ns, *dims, flops=flops, operator_class="tensor_contraction", **more)


def run(*rows: OpRow, steps: int | None = 3, idle_ns: int = 300_000, **more: Any) -> Job:
    """One run of so many equal steps."""
    made = analysis_of(rows, steps=steps, idle_ns=idle_ns, **more)
    return _timed(made, made.window.step_ns.median) if made.window.step_ns else made


def with_steps(run: Job, lengths: Sequence[int]) -> Job:
    """The same totals, over steps of these lengths, a tenth of each idle."""
    assert run.step_rows is not None
    steps = tuple(
        structs.replace(
            run.step_rows[0], name=f"ProfilerStep#{number}", device_ns=ns, extent_ns=ns,
            verdicts=tuple(StepPart(v, (ns - ns // 10) * (v == "memory_bound"), 0) for v in VERDICTS),
            idle_by_cause=tuple(IdlePart(c, ns // 10 * (c == "unknown")) for c in IDLE_CAUSES),
        )
        for number, ns in enumerate(lengths)
    )  # fmt: skip
    middle = (sorted(lengths)[(len(lengths) - 1) // 2] + sorted(lengths)[len(lengths) // 2]) // 2
    window = structs.replace(
        run.window, step_count=len(steps), steps=tuple(step.name for step in steps),
        step_ns=Spread(middle, min(lengths), max(lengths)),
    )  # fmt: skip
    return _timed(structs.replace(run, step_rows=steps, window=window), middle)


def _timed(run: Job, ns: int) -> Job:
    """With a recording, where it has one, whose steps take as long without the profiler as under it."""
    if run.recording is None:
        return run
    recording = structs.replace(run.recording, unprofiled_step_ns=ns, profiled_step_ns=ns)
    return structs.replace(run, recording=recording)
