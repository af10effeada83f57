"""What work runs as on a device that has no peak of its engine and precision.

PyTorch computes fp16 and bf16 products in fp32 where no matrix engine takes them (cuBLAS and cuDNN are asked
for fp32 accumulation), so the vector fp32 peak comes before that of vector fp16. Narrow types are widened to
the next type that a matrix engine takes: no bf16 before Ampere, no fp8 before Ada, no fp4 before Blackwell.
A CPU multiplies matrices on its vector units: what is measured of it stands under `matrix`.
"""

from __future__ import annotations

from collections.abc import Mapping

from traceanalyzer.records import Device

Key = tuple[str, str]  # (engine, precision)
_FP32: tuple[Key, ...] = (("vector", "fp32"), ("matrix", "fp32"))
_HALF: tuple[Key, ...] = (("matrix", "bf16"), ("matrix", "fp16"), *_FP32)
STAND_INS: Mapping[Key, tuple[Key, ...]] = {
    ("matrix", "fp4"): (("matrix", "fp8"), *_HALF),
    ("matrix", "fp8"): _HALF,
    ("matrix", "int8"): _HALF,
    ("matrix", "bf16"): _FP32,
    ("matrix", "fp16"): (*_FP32, ("vector", "fp16")),
    ("matrix", "tf32"): (("matrix", "fp32"), ("vector", "fp32")),
    ("matrix", "fp32"): (("vector", "fp32"),),
    ("matrix", "fp64"): (("vector", "fp64"),),
    ("vector", "fp16"): _FP32,
    ("vector", "bf16"): _FP32,
    ("vector", "fp32"): (("matrix", "fp32"),),
    ("vector", "fp64"): (("matrix", "fp64"),),
}


def runs_as(device: Device, wanted: Key) -> Key | None:
    """Itself, or the first stand-in with a peak there; None where none is known."""
    return next((key for key in (wanted, *STAND_INS.get(wanted, ())) if device.peak(*key)), None)


def peak_there(device: Device, wanted: Key) -> float | None:
    """FLOP/s of what it runs as; None where that is not known."""
    key = runs_as(device, wanted)
    return device.peak(*key) if key else None
