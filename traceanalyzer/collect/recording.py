"""What a trace does not say of its own making: versions, settings, timings, memory."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping
from statistics import median
from typing import Any

from traceanalyzer.collect.accelerator import in_use
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.session import CaptureResult


def facts(
    plan: Schedule, taken: CaptureResult, *, command: str, script: str, cpu_roofs: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The fields of model.Recording, and `autocast`, as JSON; what is not known is null."""
    import torch

    on_gpu = in_use() == "cuda"
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": command,
        "script": script,
        "cuda": torch.version.cuda or getattr(torch.version, "hip", None),
        "tf32": _tf32() if on_gpu else None,
        "autocast": taken.autocast,
        "wait": plan.wait,
        "warmup": plan.warmup,
        "active": plan.active,
        "complete": len(taken.steps) == plan.active,
        "unprofiled_step_ns": round(median(taken.unprofiled_ns)) if taken.unprofiled_ns else None,
        "profiled_step_ns": round(median(taken.step_ns)) if taken.step_ns else None,
        "peak_memory_bytes": taken.peak_memory_bytes,
        "cpu_roofs": cpu_roofs,
    }


def _tf32() -> bool | None:
    """Whether products of fp32 may run in TF32. The older name raises where the newer was set (torch 2.9)."""
    import torch

    matmul: Any = torch.backends.cuda.matmul
    with contextlib.suppress(RuntimeError):
        return bool(matmul.allow_tf32)
    precision = getattr(matmul, "fp32_precision", None)
    return None if precision is None else precision == "tf32"
