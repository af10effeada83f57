"""Roofs of the GPU that PyTorch uses here (CUDA, ROCm, XPU), measured with its own events.

What cannot be measured this way, such as the vector engine where matmuls run on the matrix engine, comes from
the table where the device is in it. A precision without matmul on this device or build is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from traceanalyzer.device.calibrate import (
    Calibration,
    fastest_matmul,
    imported_torch,
    launch_floor_ns,
    slug,
    square,
    streams,
)
from traceanalyzer.device.calibrate_cases import Case, Once, Rate
from traceanalyzer.device.match import find
from traceanalyzer.device.table import ENGINES, DeviceSpec, with_id
from traceanalyzer.records import Engine, Peak
from traceanalyzer.records.trace import DeviceProperties

_POOL_BYTES = 3 * 2**30  # three arrays of 1 GiB, far more than any L2
_STREAM_S, _MATMUL_S = 1.0, 1.0
_WIDTHS = (2048, 4096, 8192)
_PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8", "fp64")
_TF32_GAIN = 1.3  # a part without TF32 is as fast with it allowed as without


def gpu_name() -> str | None:
    """The name of the GPU that PyTorch uses here; None where there is none. UsageError without PyTorch."""
    torch = imported_torch()
    backend = _backend(torch)
    return str(_module(torch, backend).get_device_properties(0).name) if backend else None


def measure_gpu() -> Calibration:
    """The roofs of GPU 0; only where `gpu_name` gives one."""
    torch = imported_torch()
    backend = _backend(torch)
    assert backend is not None, "the caller asks gpu_name first"
    module = _module(torch, backend)
    properties = module.get_device_properties(0)
    spec = _table_spec(torch, properties)
    once = _timer(module)
    memory = int(properties.total_memory)
    with torch.no_grad():
        fastest = streams(torch, backend, min(_POOL_BYTES, memory // 4), once, _STREAM_S)
        matmuls = _without_useless_tf32(tuple(_matmuls(torch, backend, spec, memory, once)))
        floor = launch_floor_ns(torch, backend)
    return Calibration(_spec(torch, str(properties.name), spec, fastest[0], matmuls, floor), fastest, matmuls)


def _spec(
    torch: Any, name: str, spec: DeviceSpec | None, stream: Rate, matmuls: tuple[tuple[Peak, str], ...],
    floor: int | None,
) -> DeviceSpec:  # fmt: skip
    peaks = {(p.engine, p.precision): p for p in spec.peaks} if spec else {}
    measured = {(p.engine, p.precision): p for p, _ in matmuls}
    rest = ", ".join(" ".join(key) for key in peaks if key not in measured)
    ordered = tuple(sorted((peaks | measured).values(), key=lambda p: ENGINES.index(p.engine)))
    return DeviceSpec(
        id=spec.id if spec else slug(name), names=(name,), vendor=spec.vendor if spec else "",
        generation=spec.generation if spec else "", peaks=ordered,
        compute_capability=spec.compute_capability if spec else None,
        multiprocessors=spec.multiprocessors if spec else None,
        bandwidth_bytes_per_s=stream.per_s, l2_bytes=spec.l2_bytes if spec else None,
        launch_floor_ns=floor, confidence="measured", calibrated=True,
        source=f"measured with torch {torch.__version__} on {name}: memory by {stream.what}, matmuls of "
        "square matrices",
        note=f"Not measured but {spec.id}'s of the table: {rest}." if spec and rest else "",
    )  # fmt: skip


def _backend(torch: Any) -> str | None:
    for backend in ("cuda", "xpu"):
        module = getattr(torch, backend, None)
        if module is not None and module.is_available():
            return backend
    return None


def _module(torch: Any, backend: str) -> Any:
    return getattr(torch, backend)


def _table_spec(torch: Any, properties: Any) -> DeviceSpec | None:
    """The table's entry, matched as it would be from a trace recorded here."""
    count = getattr(properties, "multi_processor_count", None)
    amd = getattr(torch.version, "hip", None) is not None
    numbered = hasattr(properties, "major") and not amd
    capability = f"{properties.major}.{properties.minor}" if numbered else None
    recorded = DeviceProperties(
        index=0, name=str(properties.name), memory_bytes=int(properties.total_memory), multiprocessors=count,
        compute_capability=capability, warp_size=getattr(properties, "warp_size", None),
    )  # fmt: skip
    return with_id(find(recorded, amd=amd).device.id)


def _timer(module: Any) -> Once:
    """Seconds between two events on the GPU, so that the launch does not count."""

    def once(function: Callable[[], object]) -> float:
        start, end = module.Event(enable_timing=True), module.Event(enable_timing=True)
        start.record()
        function()
        end.record()
        module.synchronize()
        return max(float(start.elapsed_time(end)) / 1000, 1e-9)

    return once


def _matmuls(
    torch: Any, backend: str, spec: DeviceSpec | None, memory: int, once: Once
) -> Iterator[tuple[Peak, str]]:
    for precision in _PRECISIONS:
        engine = _engine(spec, precision)
        if engine is None:
            continue
        try:
            with _fp32_matmuls(torch, "high" if precision == "tf32" else "highest"):
                fastest = fastest_matmul(_cases(torch, backend, precision, memory), once, _MATMUL_S)
        except (RuntimeError, AttributeError, TypeError, ValueError):  # not this part's, or not this build's
            continue
        yield Peak(engine, precision, fastest.per_s), fastest.what


def _engine(spec: DeviceSpec | None, precision: str) -> Engine | None:
    """Which engine multiplies; None where the table knows of none. The matrix engine where both do."""
    if spec is not None:
        return next((engine for engine in reversed(ENGINES) if spec.peak(engine, precision)), None)
    return "vector" if precision in ("fp32", "fp64") else "matrix"


def _cases(torch: Any, backend: str, precision: str, memory: int) -> Iterator[Case]:
    for width in _WIDTHS:
        if 3 * 8 * width**2 > memory // 4 and width > min(_WIDTHS):  # three matrices of fp64
            return
        if precision == "fp8":
            yield _fp8_square(torch, width, backend)
        else:
            yield square(torch, precision, width, backend)


def _fp8_square(torch: Any, width: int, backend: str) -> Case:
    """`_scaled_mm` wants its second matrix column by column, and a scale for each."""
    noise = torch.Generator(backend).manual_seed(0)
    a, b = (
        torch.rand(width, width, generator=noise, device=backend).to(torch.float8_e4m3fn) for _ in range(2)
    )
    scale, half = torch.ones((), device=backend), torch.bfloat16
    return Case(
        f"{width} x {width}", 2.0 * width**3,
        lambda: torch._scaled_mm(a, b.t(), scale_a=scale, scale_b=scale, out_dtype=half),
    )  # fmt: skip


@contextmanager
def _fp32_matmuls(torch: Any, how: str) -> Iterator[None]:
    """`highest` is full fp32, `high` allows TF32; restored afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(how)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _without_useless_tf32(matmuls: tuple[tuple[Peak, str], ...]) -> tuple[tuple[Peak, str], ...]:
    full = next((p.flop_per_s for p, _ in matmuls if p.precision == "fp32"), 0.0)
    return tuple(
        (peak, what) for peak, what in matmuls
        if peak.precision != "tf32" or peak.flop_per_s > _TF32_GAIN * full
    )  # fmt: skip
