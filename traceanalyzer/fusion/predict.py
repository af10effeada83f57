"""What a replacement would take, and so what it saves: low, middle and high, never below nothing.

saving = measured time of what is replaced - the longest of: bytes that remain by a realistic part of the
bandwidth; FLOPs that remain by a realistic part of the peak; the launch floor. Unfused kernels run at 35 to
90 % of the bandwidth, the strided ones slowest, so that dividing the saved bytes by the bandwidth would tell
another story. Fractions on a GPU: 53 published measurements on A100 and H100 (median error 9 %); on a CPU:
docs/savings.md, half of whose regions chose them while the other half was held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from traceanalyzer.model import Band, Device

WIDEST = 2.5  # high by low, where the evidence is proof
_SPECIAL_FLOPS = 16  # of an exponential or the like, as a compiler's vector code computes it


@dataclass(frozen=True, slots=True)
class Fractions:
    """What a generated kernel reaches of a roof, at worst, as a rule and at best."""

    low: float
    mid: float
    high: float


_MEMORY = {
    ("gpu", False): Fractions(0.5, 0.75, 0.9),
    ("gpu", True): Fractions(0.3, 0.5, 0.75),   # gradients of weights take a second pass
    ("cpu", False): Fractions(0.4, 0.6, 0.85),
    ("cpu", True): Fractions(0.3, 0.5, 0.75),
}
_COMPUTE = {"gpu": Fractions(0.35, 0.55, 0.75), "cpu": Fractions(0.4, 0.6, 0.85)}


@dataclass(frozen=True, slots=True)
class Work:
    """What the replacement of a region still has to do."""

    bytes: int
    launches: int = 1
    backward: bool = False
    matrix: tuple[tuple[str, int], ...] = ()  # (precision, FLOPs) of products
    special_functions: int = 0


def saving(measured_ns: float, after: Work, device: Device, floor_ns: float) -> Band | None:
    """A step's band; None where the roofs are not known."""
    bandwidth = device.bandwidth_bytes_per_s
    if not bandwidth:
        return None
    memory, compute = _MEMORY[device.kind, after.backward], _COMPUTE[device.kind]
    left = []
    for part, of_peak in ((memory.low, compute.low), (memory.mid, compute.mid), (memory.high, compute.high)):
        arithmetic = _arithmetic_s(after, device)
        if arithmetic is None:
            return None
        taken = max(after.bytes / (part * bandwidth), arithmetic / of_peak) * 1e9
        left.append(measured_ns - max(taken, after.launches * floor_ns))
    return Band(*(max(0.0, time) for time in left))


def _arithmetic_s(after: Work, device: Device) -> float | None:
    """Seconds at the peaks; None where one that is needed is not known."""
    peaks = [(device.peak("matrix", n) or device.peak("vector", n), count) for n, count in after.matrix]
    vector = device.peak("vector", "fp32")
    if after.special_functions and vector:
        peaks.append((vector, after.special_functions * _SPECIAL_FLOPS))
    if any(peak is None for peak, _ in peaks):
        return None
    return sum(count / peak for peak, count in peaks if peak)


def together(bands: Sequence[Band]) -> Band:
    """Of parts that exclude each other's time."""
    return Band(sum(b.low for b in bands), sum(b.mid for b in bands), sum(b.high for b in bands))


def proved(band: Band) -> Band | None:
    """No wider than a proof may be: what is beyond is not promised. None where nothing is sure."""
    if band.low <= 0:
        return None
    high = min(band.high, WIDEST * band.low)
    return Band(band.low, min(band.mid, high), high)


def possible(band: Band) -> Band:
    """Where it is likely and not proved: it may save nothing."""
    return Band(0.0, band.mid / 2, band.high)
