"""The peak a row is compared with: engine and precision, from its op, its kernels' names, the device.

The trace does not record whether an fp32 matmul ran in TF32. Kernel names sometimes say so; else the
recording; else a rate above the vector peak proves it, and the row says that this was assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from traceanalyzer.cost.kernel_names import engine_of, is_winograd_or_fft, tf32_of
from traceanalyzer.device.table import part_of
from traceanalyzer.records import Device, Engine


class Choice(msgspec.Struct, frozen=True):
    """The peak a row is compared with; `peak` None: the device has none that applies."""

    engine: Engine
    precision: str
    peak: float | None  # FLOP/s
    tf32_assumed: bool = False


class _Words(msgspec.Struct, frozen=True):
    engine: Engine | None
    tf32: bool | None
    winograd: bool


@lru_cache(maxsize=65536)
def _words(kernel: str) -> _Words:
    return _Words(engine_of(kernel), tf32_of(kernel), is_winograd_or_fft(kernel))


def choose(
    engine: Engine,
    precision: str,
    kernels: Sequence[tuple[str, int]],
    device: Device,
    tf32: bool | None,
    flop_per_s: float | None,
) -> Choice:
    """Peak of a row whose formula says (`engine`, `precision`).

    `kernels`: (name, time_ns); the longest whose name says so decides. `tf32`: what the recording says.
    `flop_per_s`: the row's measured rate, None where there is none.
    """
    by_time = sorted(kernels, key=lambda k: (-k[1], k[0]))
    words = [_words(name) for name, _ in by_time]
    side = next((w.engine for w in words if w.engine is not None), engine)
    if side == "vector":
        return _vector(precision, device)
    if precision not in ("fp32", "tf32"):
        return _matrix(precision, device)
    said = next((w.tf32 for w in words if w.tf32 is not None), None)
    choice = _fp32_matmul(said, device, tf32)
    if said is None and choice.engine == "vector" and not any(w.winograd for w in words):
        return _upgraded(choice, device, flop_per_s)
    return choice


def _vector(precision: str, device: Device) -> Choice:
    """ATen computes fp16 and bf16 elements in fp32; fp64 has its own, often far lower, peak."""
    precision = "fp64" if precision in ("fp64", "complex128") else "fp32"
    peak = device.peak("vector", precision)
    if peak is None and device.kind == "cpu":
        matmul = device.peak("matrix", precision)  # a CPU multiplies matrices on its vector units
        return Choice("matrix" if matmul else "vector", precision, matmul)
    return Choice("vector", precision, peak)


def _matrix(precision: str, device: Device) -> Choice:
    """The dense matrix peak; the vector engine does what a known part has no matrix path for."""
    peak = device.peak("matrix", precision)
    if peak is None and precision in ("fp16", "bf16", "fp64") and _is_known(device):
        return _vector("fp64" if precision == "fp64" else "fp32", device)
    return Choice("matrix", precision, peak)


def _fp32_matmul(said: bool | None, device: Device, recorded: bool | None) -> Choice:
    """An fp32 matmul: TF32 if the name says so, or says nothing and the recording does."""
    fast, full = device.peak("matrix", "tf32"), device.peak("matrix", "fp32")
    if fast is not None and (said or (said is None and recorded and full is None)):
        return Choice("matrix", "tf32", fast)
    if full is not None:  # AMD's matrix engine and a CPU multiply in full fp32
        return Choice("matrix", "fp32", full)
    if said and not _is_known(device):
        return Choice("matrix", "tf32", None)
    return _vector("fp32", device)


def _upgraded(choice: Choice, device: Device, flop_per_s: float | None) -> Choice:
    """TF32 where the row ran faster than the vector engine can; the vector peak otherwise."""
    fast = device.peak("matrix", "tf32")
    if fast is None or choice.peak is None or flop_per_s is None:
        return choice
    if not choice.peak < min(flop_per_s, fast):
        return choice
    return Choice("matrix", "tf32", fast, tf32_assumed=True)


def _is_known(device: Device) -> bool:
    """What a part of the table lacks does not exist; what a user left out is only not known."""
    return device.how in ("trace", "inferred", "derived") or part_of(device) is not None
