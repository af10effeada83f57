"""Records the sample traces on this machine's CPU: `python sample_traces/record.py`.

Each is three steps of training under torch.profiler with shapes, gzipped without a time stamp, freed of
host names and paths, with the machine's measured roofs stored beside the events.
"""

from __future__ import annotations

import gzip
import json
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import roofs
import torch
from models import ConvNet, Gpt

HERE = Path(__file__).parent
WAIT, WARMUP, ACTIVE = 1, 2, 3
LIMIT_BYTES = 300_000


def gpt(compiled: bool) -> Callable[[], None]:
    """A training step of a GPT of two layers."""
    torch.manual_seed(0)
    model: Any = Gpt(vocabulary=4096, width=256, heads=4, layers=2, length=128)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    ids = torch.randint(0, 4096, (8, 128))
    model = torch.compile(model) if compiled else model

    def step() -> None:
        optimizer.zero_grad()
        model(ids).backward()
        optimizer.step()

    return step


def convnet() -> Callable[[], None]:
    """A training step of a convolutional net on 64x64 images."""
    torch.manual_seed(0)
    model = ConvNet(classes=100)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images, labels = torch.rand(16, 3, 64, 64), torch.randint(0, 100, (16,))

    def step() -> None:
        optimizer.zero_grad()
        model(images, labels).backward()
        optimizer.step()

    return step


def record(name: str, step: Callable[[], None], cpu_roofs: dict[str, Any]) -> None:
    """Profile WAIT + WARMUP + ACTIVE steps and write `name`.json.gz."""
    schedule = torch.profiler.schedule(wait=WAIT, warmup=WARMUP, active=ACTIVE, repeat=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"

        def save(profiler: torch.profiler.profile) -> None:
            profiler.export_chrome_trace(str(path))

        with torch.profiler.profile(schedule=schedule, record_shapes=True, on_trace_ready=save) as profiler:
            for _ in range(WAIT + WARMUP + ACTIVE):
                step()
                profiler.step()
        document = json.loads(path.read_text(encoding="utf-8"))
    document = cleaned(document)
    document["traceanalyze"] = {
        "torch": torch.__version__, "python": platform.python_version(),
        "command": f"python sample_traces/record.py {name}", "script": "sample_traces/record.py",
        "wait": WAIT, "warmup": WARMUP, "active": ACTIVE, "complete": True, "cpu_roofs": cpu_roofs,
    }  # fmt: skip
    text = json.dumps(document, separators=(",", ":")).encode()
    target = HERE / f"{name}.json.gz"
    target.write_bytes(gzip.compress(text, 9, mtime=0))
    assert target.stat().st_size < LIMIT_BYTES, f"{target.name} has {target.stat().st_size} bytes"
    print(f"{target.name}: {target.stat().st_size} bytes, {len(document['traceEvents'])} events")


def cleaned(document: dict[str, Any]) -> dict[str, Any]:
    """Without the host's name, paths, and the arguments that tell of them."""
    for key in ("host_name", "trace_id", "traceName"):
        document.pop(key, None)
    for event in document["traceEvents"]:
        for key in ("kernel_file", "kernel_kwargs"):
            event.get("args", {}).pop(key, None)
    return document


def main() -> None:
    cpu_roofs = roofs.measured()
    record("gpt_eager_cpu", gpt(compiled=False), cpu_roofs)
    record("convnet_eager_cpu", convnet(), cpu_roofs)
    if shutil.which("g++"):
        # Makes the fused loops of compiled code visible by name; recompiles what was cached without it.
        torch._inductor.config.cpp.enable_kernel_profile = True
        record("gpt_compiled_cpu", gpt(compiled=True), cpu_roofs)
    else:
        print("no C++ compiler: the compiled trace is left as it was")


if __name__ == "__main__":
    main()
