"""Hardware counters of one more step, by the range profiler that torch.profiler has for NVIDIA's GPUs.

It runs each kernel by itself, several times over, so that no time is taken from that step. PyTorch built for
CUDA 12.6 and before has it; later builds leave it out, and its options are to be removed (pytorch/pytorch
pull request 187204).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_LAST_CUDA = (12, 6)
_METRICS = ("dram__bytes_read.sum", "dram__bytes_write.sum")
_ROWS = b"cuda_profiler_range"
_INSTEAD = f"Nsight Compute counts them: ncu --metrics {','.join(_METRICS)} python SCRIPT"


def missing() -> str | None:
    """Why this PyTorch records none, and what does; None where it can."""
    import torch

    cuda = torch.version.cuda
    if cuda is None or not torch.cuda.is_available():
        return "only those of an NVIDIA GPU can be recorded, and this run has none"
    if tuple(int(part) for part in cuda.split(".")[:2]) > _LAST_CUDA:
        return f"PyTorch for CUDA {cuda} cannot, only one for CUDA 12.6 and before. {_INSTEAD}"
    if "profiler_metrics" not in (_config().__init__.__doc__ or ""):
        return f"PyTorch {torch.__version__} cannot any more. {_INSTEAD}"
    return None


def options() -> dict[str, Any]:
    """What the profiler is made with, so that it counts the bytes of each kernel."""
    return {
        "experimental_config": _config()(profiler_metrics=list(_METRICS), profiler_measure_per_kernel=True)
    }


def refused(trace: Path) -> str | None:
    """Why a recording holds no counters; None where it does."""
    if _ROWS in trace.read_bytes():
        return None
    return "the driver gave none: it may keep them to administrators (NVreg_RestrictProfilingToAdminUsers=0)"


def _config() -> Any:
    from torch._C._profiler import _ExperimentalConfig

    return _ExperimentalConfig
