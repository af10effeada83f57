"""Records the sample traces on this machine's CPU: `python sample_traces/record.py`.

Each is three steps of training a model of examples/ under torch.profiler with shapes, gzipped without a time
stamp, freed of host names and paths, with the machine's measured roofs stored beside the events. On a machine
that does anything else meanwhile the figures are worthless.
"""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its log lines say nothing about a sample

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import roofs
import torch
import torch.nn.functional as F
from convnet import residual_network
from gpt import Gpt

Step = Callable[[], None]
HERE = Path(__file__).parent
WAIT, WARMUP, ACTIVE = 3, 2, 3
LIMIT_BYTES = 300_000
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc
PRIVATE = ("kernel_file", "kernel_kwargs")  # arguments of compiled code's events that hold paths


def gpt_step(*, compiled: bool) -> Step:
    """Its activations do not fit into a CPU's caches, as those of real models do not fit into a GPU's."""
    model = Gpt(vocabulary=2048, width=256, heads=8, layers=2, length=512)
    ids = torch.randint(0, 2048, (16, 512))
    loss: Any = torch.compile(model) if compiled else model
    return training_step(lambda: loss(ids), model, 3e-4)


def compiled_gpt_step() -> Step:
    """The fused C++ loops have rows only on request; what was cached without them is compiled again."""
    torch._inductor.config.cpp.enable_kernel_profile = True
    return gpt_step(compiled=True)


def convnet_step() -> Step:
    model = residual_network(classes=100)
    images, labels = torch.rand(16, 3, 224, 224), torch.randint(0, 100, (16,))
    return training_step(lambda: F.cross_entropy(model(images), labels), model, 1e-3)


def training_step(loss: Callable[[], torch.Tensor], model: torch.nn.Module, rate: float) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


SAMPLES: dict[str, Callable[[], Step]] = {
    "gpt_eager_cpu": lambda: gpt_step(compiled=False),
    "convnet_eager_cpu": convnet_step,
    "gpt_compiled_cpu": compiled_gpt_step,
}


def record(name: str, cpu_roofs: dict[str, Any]) -> None:
    """Run WAIT + WARMUP + ACTIVE steps and write the last ACTIVE to `name`.json.gz."""
    torch.manual_seed(0)
    step = SAMPLES[name]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        unprofiled_step_ns = profiled(step, path)
        document = cleaned(json.loads(path.read_text(encoding="utf-8")))
    steps_us = [e["dur"] for e in document["traceEvents"] if e["name"].startswith("ProfilerStep#")]
    document["traceanalyze"] = {
        "torch": torch.__version__, "python": platform.python_version(),
        "command": "python sample_traces/record.py", "script": "sample_traces/record.py",
        "wait": WAIT, "warmup": WARMUP, "active": ACTIVE, "complete": True,
        "unprofiled_step_ns": unprofiled_step_ns, "profiled_step_ns": round(1000 * median(steps_us)),
        "cpu_roofs": cpu_roofs,
    }  # fmt: skip
    target = HERE / f"{name}.json.gz"
    target.write_bytes(gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 9, mtime=0))
    assert target.stat().st_size < LIMIT_BYTES, f"{target.name} has {target.stat().st_size} bytes"
    steps_ms = [round(us / 1000) for us in steps_us]
    print(f"{target.name}: {target.stat().st_size} bytes, steps of {steps_ms} ms; unprofiled "
          f"{unprofiled_step_ns / 1e6:.0f} ms")  # fmt: skip


def profiled(step: Step, path: Path) -> int:
    """Record into `path`; the median ns of a step before the profiler was there."""
    taken = []
    for _ in range(WAIT):
        start = time.perf_counter_ns()
        step()
        taken.append(time.perf_counter_ns() - start)
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU],
        schedule=torch.profiler.schedule(wait=0, warmup=WARMUP, active=ACTIVE, repeat=1),
        record_shapes=True,
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(path)),
    ) as profiler:
        for _ in range(WARMUP + ACTIVE):
            step()
            profiler.step()
    return round(median(taken))


def keep_freed_memory() -> None:
    """As a GPU's caching allocator does; else the kernel hands out zeroed pages for every large tensor."""
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_MAX, 0)
        allocator.mallopt(M_TRIM_THRESHOLD, -1)


def cleaned(document: dict[str, Any]) -> dict[str, Any]:
    """Without the host's name, paths, and the arguments that tell of them."""
    for key in ("host_name", "trace_id", "traceName"):
        document.pop(key, None)
    for event in document["traceEvents"]:
        for key in PRIVATE:
            event.get("args", {}).pop(key, None)
    return document


def main() -> None:
    keep_freed_memory()
    cpu_roofs = roofs.measured()
    print(json.dumps(cpu_roofs))
    for name in SAMPLES:
        if name == "gpt_compiled_cpu" and not shutil.which("g++"):
            print("no C++ compiler: the compiled trace is left as it was")
        else:
            record(name, cpu_roofs)


if __name__ == "__main__":
    main()
