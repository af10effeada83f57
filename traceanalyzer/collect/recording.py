"""The collector's record of a capture: versions, settings, timings (ns), memory (bytes)."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable
from statistics import median
from typing import Any

import msgspec

from traceanalyzer.collect.accelerator import in_use
from traceanalyzer.collect.allocator import allocator
from traceanalyzer.collect.capture import CaptureResult
from traceanalyzer.collect.clocks import gpu_clocks
from traceanalyzer.collect.process_use import page_bytes
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.records import CpuRoofs, RecordedStep


def recording_fields(
    schedule: Schedule,
    result: CaptureResult,
    *,
    command: str,
    script: str,
    cpu_roofs: CpuRoofs | None,
) -> dict[str, Any]:
    """The fields of records.Recording, and `autocast`, as JSON; null where unknown."""
    import torch

    on_gpu = in_use() == "cuda"
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": command,
        "script": script,
        "cuda": torch.version.cuda or getattr(torch.version, "hip", None),
        "tf32": _tf32() if on_gpu else None,
        "autocast": result.autocast,
        "wait": schedule.wait,
        "warmup": schedule.warmup,
        "active": schedule.active,
        "complete": len(result.steps) == schedule.active,
        "unprofiled_step_ns": _typical(result.unprofiled_ns),
        "profiled_step_ns": _typical(result.step_ns),
        "minor_faults_per_step": _typical(each.page_faults for each in result.unprofiled_used),
        "system_ns_per_step": _typical(each.system_ns for each in result.unprofiled_used),
        "profiled_page_faults": _typical(each.page_faults for each in result.used),
        "profiled_system_ns": _typical(each.system_ns for each in result.used),
        "steps": msgspec.to_builtins(_steps(result)),
        "threads": torch.get_num_threads(),
        "page_bytes": page_bytes(),
        "allocator": allocator(),
        "peak_memory_bytes": result.peak_memory_bytes,
        "cpu_roofs": msgspec.to_builtins(cpu_roofs),
        "clocks": gpu_clocks(),
    }


def _steps(result: CaptureResult) -> list[RecordedStep]:
    """Each captured step beside those like it that were timed without the profiler."""
    steps = []
    for name, ns, sizes in zip(result.steps, result.step_ns, result.sizes, strict=True):
        timed = zip(result.unprofiled_ns, result.unprofiled_used, result.unprofiled_sizes, strict=True)
        like = [
            (took_ns, used) for took_ns, used, theirs in timed if theirs is not None and sizes.alike(theirs)
        ]
        steps.append(RecordedStep(
            name=name, profiled_ns=ns, unprofiled_ns=_typical(took_ns for took_ns, _ in like),
            minor_faults=_typical(used.page_faults for _, used in like),
            system_ns=_typical(used.system_ns for _, used in like),
        ))  # fmt: skip
    return steps


def _typical(steps: Iterable[int | None]) -> int | None:
    """The median step's; None where none was measured."""
    measured = [step for step in steps if step is not None]
    return round(median(measured)) if measured else None


def _tf32() -> bool | None:
    """Whether fp32 matmuls may run in TF32. The older name raises where the newer was set (torch 2.9)."""
    import torch

    matmul: Any = torch.backends.cuda.matmul
    with contextlib.suppress(RuntimeError):
        return bool(matmul.allow_tf32)
    precision = getattr(matmul, "fp32_precision", None)
    return None if precision is None else precision == "tf32"
