"""Traces whose analysis can be worked out on paper, and what is expected of each.

The scene is two steps of 1,000 us, from 1,000 and from 2,000 us. In each the host launches an addition, a
matmul and a copy, and the device works at these times after the step's start:

    addition   200 .. 280   2^24 fp32 elements: 201.3 MB, 60.1 us at an H100's 3.35 TB/s: memory-bound
    matmul     300 .. 500   4096^3 in bf16: 137.4 GFLOP, 139 us at its 989 TFLOP/s: compute-bound
    copy       550 .. 600   to the device

So 330 us of each step are busy, and the window is the two annotations: 2,000 us.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from traceanalyzer import Analysis, AnalyzeOptions, analyze

Row = dict[str, Any]
Rows = list[Row]
Change = Callable[[Rows], Rows]

HOST, THREAD, BASE_NS = 4242, 77, 1_719_000_000_000_000_000
ELEMENTS, SIDE = 1 << 24, 4096
H100 = {
    "id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85_018_279_936, "computeMajor": 9,
    "computeMinor": 0, "maxThreadsPerBlock": 1024, "maxThreadsPerMultiprocessor": 2048,
    "regsPerBlock": 65_536, "regsPerMultiprocessor": 65_536, "warpSize": 32, "sharedMemPerBlock": 49_152,
    "sharedMemPerMultiprocessor": 233_472, "numSms": 132,
}  # fmt: skip
ADDED = {"Input Dims": [[ELEMENTS], [ELEMENTS], []], "Input type": ["float", "float", "Scalar"]}
MULTIPLIED = {"Input Dims": [[SIDE, SIDE]] * 2, "Input type": ["c10::BFloat16"] * 2}
COPIED = {"Input Dims": [[1 << 20], [1 << 20], []], "Input type": ["float", "float", "Scalar"]}
ADD_KERNEL = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>>(int)"
MM_KERNEL = "nvjet_tst_256x128_64x4_1x2_h_bz_coopA_NNT"
COPY = "Memcpy HtoD (Pinned -> Device)"


def row(cat: str, name: str, ts: float, dur: float, **args: Any) -> Row:
    """One complete row of the host."""
    return {
        "ph": "X",
        "cat": cat,
        "name": name,
        "pid": HOST,
        "tid": THREAD,
        "ts": ts,
        "dur": dur,
        "args": args,
    }


def step(number: int, ts: float, dur: float = 1000) -> Row:
    return row("user_annotation", f"ProfilerStep#{number}", ts, dur)


def op(name: str, ts: float, dur: float, external: int, **args: Any) -> Row:
    return row("cpu_op", name, ts, dur, **{"External id": external}, **args)


def launch(ts: float, correlation: int, api: str = "cudaLaunchKernel", dur: float = 5) -> Row:
    return row("cuda_runtime", api, ts, dur, correlation=correlation)


def kernel(
    name: str, ts: float, dur: float, correlation: int | None, *, cat: str = "kernel", device: int = 0,
    stream: int = 7, **args: Any,
) -> Row:  # fmt: skip
    """One row of a device; without a correlation where that is None."""
    known: Row = {"device": device, "stream": stream, **args}
    if correlation is not None:
        known["correlation"] = correlation
    if cat == "kernel":
        known |= {"grid": [4096, 1, 1], "block": [256, 1, 1], "registers per thread": 32, "shared memory": 0}
    return row(cat, name, ts, dur, **known) | {"pid": device, "tid": stream}


def work(begin: float, first: int) -> Rows:
    """What one step of the scene does; its correlations are `first` and the two that follow."""
    parts: tuple[tuple[str, Mapping[str, Any], str, str, float, float, str], ...] = (
        ("aten::add", ADDED, "cudaLaunchKernel", ADD_KERNEL, 200, 80, "kernel"),
        ("aten::mm", MULTIPLIED, "cudaLaunchKernel", MM_KERNEL, 300, 200, "kernel"),
        ("aten::copy_", COPIED, "cudaMemcpyAsync", COPY, 550, 50, "gpu_memcpy"),
    )
    rows: Rows = []
    for number, (name, args, api, device_name, at, dur, cat) in enumerate(parts):
        external, host = 9000 + first + number, begin + 100 + 30 * number
        rows += [
            op(name, host, 20, external, **args),
            launch(host + 5, first + number, api) | {"args": {"correlation": first + number,
                                                              "External id": external}},
            kernel(device_name, begin + at, dur, first + number, cat=cat, **{"External id": external}),
        ]  # fmt: skip
    return rows


def extra(host: float, at: float, dur: float, correlation: int, **changed: Any) -> Rows:
    """One more addition, from the host's time `host`, on the device from `at`."""
    external = 9000 + correlation
    return [
        op("aten::add", host, 20, external, **ADDED), launch(host + 5, correlation),
        kernel(ADD_KERNEL, at, dur, correlation, **changed),
    ]  # fmt: skip


def scene() -> Rows:
    return [step(0, 1000), *work(1000, 101), step(1, 2000), *work(2000, 201)]


def unstepped() -> Rows:
    """The scene without its annotations: 2,400 us from the first addition to the end of the second copy."""
    return [each for each in scene() if each["cat"] != "user_annotation"]


def is_device(each: Row) -> bool:
    return each["cat"] in ("kernel", "gpu_memcpy", "gpu_memset")


def with_args(rows: Rows, change: Callable[[Row], Row], where: Callable[[Row], bool] = bool) -> Rows:
    return [each | {"args": change(dict(each["args"]))} if where(each) else each for each in rows]


def without(*keys: str) -> Callable[[Row], Row]:
    return lambda args: {key: value for key, value in args.items() if key not in keys}


class Expected(msgspec.Struct, frozen=True, dict=True):
    """Times in us. Verdicts that are not named have no time; what is None is not looked at."""

    window: float = 2000
    busy: float = 660
    verdicts: Mapping[str, float] = msgspec.field(
        default_factory=lambda: {"memory_bound": 160, "compute_bound": 400, "copy": 100}
    )
    kind: str = "gpu"
    warnings: frozenset[str] = frozenset()
    steps: int | None = 2
    step_us: Sequence[float] | None = None
    reasons: frozenset[str] | None = None  # why time is not modelled

    def but(self, **changed: Any) -> Expected:
        return replace(self, **changed)


AS_THE_SCENE = Expected()


def unmodelled(copies: float = 100, **changed: Any) -> Expected:
    """The scene where nothing is known of the kernels."""
    expected = Expected(verdicts={"unmodelled": 660 - copies, "copy": copies})
    return expected.but(**changed)


class Input(msgspec.Struct, frozen=True, dict=True):
    """One trace, written as some recorder writes it, and what its analysis has to say."""

    name: str
    rows: Rows
    expected: Expected
    head: Mapping[str, Any] = msgspec.field(default_factory=dict)  # of the document, beside the usual
    devices: Sequence[Mapping[str, Any]] = (H100,)
    packed: Callable[[bytes], bytes] = bytes
    suffix: str = ".json"
    bare: bool = False  # the list of rows alone
    options: AnalyzeOptions | None = None

    def text(self) -> bytes:
        if self.bare:
            return json.dumps(self.rows).encode()
        document = {
            "schemaVersion": 1, "deviceProperties": list(self.devices), "record_shapes": 1,
            "baseTimeNanoseconds": BASE_NS, "displayTimeUnit": "ms", **self.head, "traceEvents": self.rows,
            "traceName": "trace.json",
        }  # fmt: skip
        return json.dumps({key: value for key, value in document.items() if value is not None}).encode()

    def analysis(self, folder: Path) -> Analysis:
        path = folder / f"{self.name.replace(' ', '_')}{self.suffix}"
        path.write_bytes(self.packed(self.text()))
        return analyze(path, options=self.options)


def check(analysis: Analysis, expected: Expected) -> None:
    """Everything at once, so that a difference shows with what stands beside it."""
    verdicts = {part.verdict: part.time_ns for part in analysis.verdicts if part.time_ns}
    found = {
        "kind": analysis.device.kind, "window": analysis.window.window_ns, "busy": analysis.time.busy_ns,
        "verdicts": verdicts, "warnings": {notice.code for notice in analysis.source.warnings},
        "steps": analysis.window.step_count,
    }  # fmt: skip
    wanted = {
        "kind": expected.kind, "window": ns(expected.window), "busy": ns(expected.busy),
        "verdicts": {verdict: ns(time) for verdict, time in expected.verdicts.items()},
        "warnings": set(expected.warnings), "steps": expected.steps,
    }  # fmt: skip
    assert found == wanted
    assert sum(verdicts.values()) == analysis.time.busy_ns
    assert analysis.time.busy_ns + analysis.time.idle_ns == analysis.window.window_ns
    if expected.step_us is not None:
        assert [step.device_ns for step in analysis.step_rows or ()] == [ns(us) for us in expected.step_us]
    if expected.reasons is not None:
        assert {part.reason for part in analysis.coverage.reasons} == set(expected.reasons)


def ns(us: float) -> int:
    return round(1000 * us)


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
