"""The accelerator that the script uses, as torch sees it; never one that the script does not use."""

from __future__ import annotations

from typing import Any


def in_use() -> str | None:
    """ "cuda" (NVIDIA and AMD alike) or "xpu" once the script has begun to use it, else None."""
    import torch

    for name in ("cuda", "xpu"):
        module: Any = getattr(torch, name, None)
        if module is not None and module.is_available() and module.is_initialized():
            return name
    return None


def synchronize() -> None:
    """Wait for what was queued on the accelerator in use."""
    import torch

    if (name := in_use()) is not None:
        getattr(torch, name).synchronize()


def activities() -> list[Any]:
    """What the profiler is to record: the CPU, and an accelerator that the script can use."""
    import torch

    kinds = torch.profiler.ProfilerActivity
    activities = [kinds.CPU]
    for name, activity in (("cuda", kinds.CUDA), ("xpu", kinds.XPU)):
        module: Any = getattr(torch, name, None)
        if module is not None and module.is_available():
            activities.append(activity)
    return activities
