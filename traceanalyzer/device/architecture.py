"""FLOPs a clock and multiprocessor by architecture: dense, with fp32 accumulation.

The rates of NVIDIA's whitepapers. What datasheets print of data center parts follows from them and the
parts' clocks.
"""

from __future__ import annotations

from collections.abc import Mapping

from traceanalyzer.device.names import words_of
from traceanalyzer.records import Engine, Peak

Rates = Mapping[str, int]

_GA10X: Rates = {"tf32": 512, "fp16": 1024, "bf16": 1024, "int8": 2048}
_ADA: Rates = {**_GA10X, "fp8": 2048}
_TCGEN05: Rates = {"tf32": 4096, "fp16": 8192, "bf16": 8192, "fp8": 16384, "fp4": 32768}
_RATES: Mapping[str, tuple[Rates, Rates]] = {  # compute capability -> vector, matrix
    "6.0": ({"fp64": 64, "fp32": 128, "fp16": 256}, {}),
    "6.1": ({"fp64": 8, "fp32": 256}, {}),
    "7.0": ({"fp64": 64, "fp32": 128, "fp16": 256}, {"fp16": 1024}),
    "7.5": ({"fp64": 4, "fp32": 128, "fp16": 256}, {"fp16": 1024, "int8": 2048}),
    "8.0": ({"fp64": 64, "fp32": 128, "fp16": 512},
            {"fp64": 128, "tf32": 1024, "fp16": 2048, "bf16": 2048, "int8": 4096}),
    "8.6": ({"fp64": 4, "fp32": 256, "fp16": 256}, _GA10X),
    "8.7": ({"fp32": 256, "fp16": 512}, {"tf32": 1024, "fp16": 2048, "bf16": 2048, "int8": 4096}),
    "8.9": ({"fp64": 4, "fp32": 256, "fp16": 256}, _ADA),
    "9.0": ({"fp64": 128, "fp32": 256, "fp16": 512},
            {"fp64": 256, "tf32": 2048, "fp16": 4096, "bf16": 4096, "fp8": 8192, "int8": 8192}),
    "10.0": ({"fp64": 128, "fp32": 256, "fp16": 512},
             _TCGEN05),
    "11.0": ({"fp32": 256, "fp16": 512}, _TCGEN05),
    "12.0": ({"fp64": 4, "fp32": 256, "fp16": 256}, {**_ADA, "fp4": 4096}),
    "12.1": ({"fp64": 4, "fp32": 256, "fp16": 256},
             {"tf32": 512, "fp16": 1024, "bf16": 1024, "fp8": 2048, "fp4": 4096}),
}  # fmt: skip
_HALVED = frozenset({"tf32", "fp16", "bf16", "fp8"})  # of a GeForce: types that are added up in fp32
_TENSORLESS = frozenset({"gtx", "mx450", "mx550", "t400", "t500", "t550", "t600", "t1000", "t1200"})  # of 7.5


def peaks_at(
    name: str, compute_capability: str | None, multiprocessors: int, clock_hz: float
) -> tuple[Peak, ...]:
    """Of an NVIDIA part with this name and clock; none where its architecture is not known."""
    rates = _RATES.get(compute_capability or "")
    if rates is None:
        return ()
    words, per_clock = words_of(name), multiprocessors * clock_hz
    vector, matrix = rates
    if words & _TENSORLESS:
        matrix = {}
    half = 0.5 if "geforce" in words else 1.0
    return (
        *_peaks("vector", vector, per_clock, 1.0),
        *_peaks("matrix", matrix, per_clock, half),
    )


def _peaks(engine: Engine, rates: Rates, per_clock: float, half: float) -> list[Peak]:
    return [Peak(engine, p, n * per_clock * (half if p in _HALVED else 1.0)) for p, n in rates.items()]
