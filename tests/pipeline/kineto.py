"""Small profiler traces written in code, event by event, as torch 2.x on CUDA writes them."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

H100 = {
    "id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85018279936, "computeMajor": 9,
    "computeMinor": 0, "maxThreadsPerBlock": 1024, "maxThreadsPerMultiprocessor": 2048,
    "regsPerBlock": 65536, "regsPerMultiprocessor": 65536, "warpSize": 32,
    "sharedMemPerBlock": 49152, "sharedMemPerMultiprocessor": 233472, "numSms": 132,
}  # fmt: skip

Tensor = tuple[list[int], str]  # dims and recorded type


@dataclass
class Kineto:
    """Ops at given host times, kernels at given device times (µs); correlation by counting."""

    device: dict[str, Any] | None = field(default_factory=lambda: dict(H100))
    events: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    correlation: int = 100

    def op(self, name: str, ts: float, dur: float, *inputs: Tensor, tid: int = 1, **args: Any) -> None:
        recorded: dict[str, Any] = {"External id": len(self.events) + 1_000_000, **args}
        if inputs:
            recorded["Input Dims"] = [dims for dims, _ in inputs]
            recorded["Input type"] = [kind for _, kind in inputs]
        self._complete("cpu_op", name, ts, dur, tid, recorded)

    def annotation(self, name: str, ts: float, dur: float, tid: int = 1) -> None:
        self._complete("user_annotation", name, ts, dur, tid, {})

    def python(self, name: str, ts: float, dur: float, tid: int = 1) -> None:
        """A function, as `with_stack=True` records it."""
        self._complete("python_function", name, ts, dur, tid, {"Python id": len(self.events)})

    def overhead(self, name: str, ts: float, dur: float, tid: int = 1) -> None:
        """The profiler's own work."""
        self._complete("overhead", name, ts, dur, tid, {})

    def launch(self, ts: float, *, tid: int = 1, api: str = "cudaLaunchKernel", dur: float = 1) -> int:
        self.correlation += 1
        self._complete("cuda_runtime", api, ts, dur, tid, {"correlation": self.correlation})
        return self.correlation

    def kernel(
        self, name: str, ts: float, dur: float, correlation: int, *, cat: str = "kernel", stream: int = 7,
        device: int = 0, grid: tuple[int, int, int] = (4096, 1, 1), **args: Any,
    ) -> None:  # fmt: skip
        recorded = {"device": device, "stream": stream, "correlation": correlation, **args}
        if cat == "kernel":
            recorded |= {"grid": list(grid), "block": [256, 1, 1], "registers per thread": 32,
                         "shared memory": 0}  # fmt: skip
        self._complete(cat, name, ts, dur, stream, recorded, pid=device)

    def run(
        self, op: str, ts: float, kernel: str, at: float, dur: float, *inputs: Tensor, **args: Any
    ) -> None:
        """An op that launches one kernel."""
        self.op(op, ts, 5, *inputs, **args)
        self.kernel(kernel, at, dur, self.launch(ts + 1))

    def _complete(
        self, cat: str, name: str, ts: float, dur: float, tid: int, args: dict[str, Any], pid: int = 10
    ) -> None:
        self.events.append(
            {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args}
        )

    def document(self) -> dict[str, Any]:
        return {
            "schemaVersion": 1,
            "deviceProperties": [self.device] if self.device else [],
            "record_shapes": 1,
            **self.metadata,
            "traceEvents": self.events,
            "traceName": "trace.json",
            "displayTimeUnit": "ms",
            "baseTimeNanoseconds": 1719000000000000000,
        }

    def write(self, path: Path) -> Path:
        text = json.dumps(self.document()).encode()
        path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
        return path
