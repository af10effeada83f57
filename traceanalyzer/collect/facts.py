"""What a trace does not say of its own making: versions, settings, timings, memory."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from statistics import median
from typing import Any

from traceanalyzer.collect.accelerator import in_use
from traceanalyzer.collect.plan import Plan
from traceanalyzer.collect.session import Taken


def facts(
    plan: Plan, taken: Taken, *, command: str, script: str, cpu_roofs: Mapping[str, Any] | None
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
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32) if on_gpu else None,
        "autocast": taken.autocast,
        "wait": plan.wait,
        "warmup": plan.warmup,
        "active": plan.active,
        "complete": len(taken.steps) == plan.active,
        "unprofiled_step_ns": round(median(taken.unprofiled_ns)) if taken.unprofiled_ns else None,
        "profiled_step_ns": round(median(taken.step_ns)) if taken.step_ns else None,
        "peak_memory_bytes": _peak_memory_bytes(on_gpu),
        "cpu_roofs": cpu_roofs,
    }


def _peak_memory_bytes(on_gpu: bool) -> int | None:
    """Of the GPU in use: the most that tensors took so far; else the most that the process held."""
    import torch

    if on_gpu:
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # Windows
        return None
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024  # getrusage(2): KiB; on macOS bytes
