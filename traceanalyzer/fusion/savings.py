"""What a replacement would take, and so what it saves: low, middle and high, never below nothing.

saving = measured time of what is replaced - (its launches' floors + the longer of: bytes that remain by a
realistic part of the bandwidth; FLOPs that remain by a realistic part of the peak). Unfused kernels run at 35
to 90 % of the bandwidth, the strided ones slowest, so that dividing the saved bytes by the bandwidth would
overstate them. On a GPU the part of the bandwidth, and how far whole times lie from the prediction, are those
of element-wise kernels under Nsight Compute (docs/hardware.md); on a CPU: docs/savings.md, half of whose
regions chose them while the other half was held back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from traceanalyzer.records import Band, Device

WIDEST = 2.5  # high by low, where the evidence is proof
_CLOSEST = 0.15  # to its middle that the low end comes: nothing is known better
_MIN_SAVED_SHARE = 0.15  # of the measured time: less is within the error of any prediction
# An element that an operator in a generated loop works on, and one that a reduction adds up, likewise; and
# reads and writes to which a write of a CPU amounts: fitted, docs/savings.md.
LOOP_FLOPS, REDUCED_FLOPS = 10, 32
# One that is read or stored through an index of its own, 0.8 ns on two threads of an AMD EPYC; rows that an
# index names are copied as any. And one that is added through an index, by an atomic operation: 3.1 ns.
INDEXED_FLOPS, ATOMIC_FLOPS = 190, 640
# What else than sums and products costs, in FLOPs that take as long: compiled AVX2 code on an AMD EPYC.
SPECIAL_FLOPS = {
    "exp": 65, "sigmoid": 78, "silu": 65, "tanh": 210, "gelu": 100, "gelu_tanh": 245, "erf": 85, "log": 80,
    "log1p": 110, "expm1": 85, "softplus": 200, "mish": 420, "cosh": 190, "sinh": 190, "sin": 45, "cos": 45,
    "atan": 160, "sqrt": 15, "rsqrt": 25, "div": 12, "reciprocal": 8, "pow": 0, "native_layer_norm": 25,
}  # fmt: skip


class Fractions(msgspec.Struct, frozen=True):
    """Of something, at worst, as a rule and at best."""

    low: float
    mid: float
    high: float

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.mid, self.high))


class KernelTimes(msgspec.Struct, frozen=True):
    """How a kernel's time on a GPU follows from its launches and its bytes: at worst, as a rule, at best."""

    bandwidth: Fractions  # that its traffic reaches, the launch apart
    launch: Fractions  # in launch floors

    @classmethod
    def within(cls, fraction: float, factors: Fractions) -> KernelTimes:
        """(floor + bytes / (fraction of the bandwidth)) x factor: the launch is as far off as the traffic."""
        return cls(Fractions(*(fraction / factor for factor in factors)), factors)

    def of(self, floors_ns: float, bytes_ns: float, arithmetic: Fractions) -> Fractions:
        """Launches, then the longer of traffic and arithmetic, in ns; `bytes_ns`: at the whole bandwidth."""
        ends = zip(self.launch, self.bandwidth, arithmetic, strict=True)
        return Fractions(*(
            floors * floors_ns + max(bytes_ns / part, computing) for floors, part, computing in ends
        ))  # fmt: skip


# A generated kernel: fitted to 2,937 element-wise kernels of an A100 (five-fold cross-validation: median
# error 7.5 %). The factors are the 90th and 10th percentile of measured by predicted time, of the whole time:
# kernels that are hardly more than their launch differ as much as large ones.
FORWARD = KernelTimes.within(0.99, Fractions(1.42, 1.0, 0.95))
# Gradients of weights take a second pass: published measurements of backward passes on A100 and H100, of
# tensors so large that they say nothing of a launch.
_BACKWARD = KernelTimes(Fractions(0.3, 0.5, 0.75), FORWARD.launch)
_CPU_PRODUCTS = Fractions(0.5, 0.68, 0.85)  # what a CPU's attention reaches of its peak, in blocks
# What products on a GPU reach, by the time (ns) that their FLOPs take at the peak: up to each line's.
# Vector engine: 10th, 50th and 90th percentile of 544 fp32 products of an A100 under Nsight Compute, of their
# time without a launch floor; with one, which varies little beside them, 80 % of the times lie inside. Matrix
# engine: TF32 of 10240^3 on an A100 reaches 0.86, bf16 of compiled GPT on an H100 0.51 to 0.82, of Segment
# Anything 0.67 to 0.78.
_PRODUCTS: dict[str, tuple[tuple[float, Fractions], ...]] = {
    "vector": (
        (3e3, Fractions(0.01, 0.07, 0.14)), (1e4, Fractions(0.19, 0.32, 0.44)),
        (3e4, Fractions(0.32, 0.43, 0.66)), (1e5, Fractions(0.48, 0.71, 0.83)),
        (3e5, Fractions(0.81, 0.85, 0.94)), (1e6, Fractions(0.89, 0.93, 0.97)),
        (float("inf"), Fractions(0.97, 0.98, 1.0)),
    ),
    "matrix": ((1e5, Fractions(0.35, 0.55, 0.75)), (float("inf"), Fractions(0.51, 0.7, 0.86))),
}  # fmt: skip
# At what multiple of that rate; a GPU has units for them, 16 results while 128 lanes do two FLOPs each:
# CUDA C++ Programming Guide, throughput of native arithmetic instructions.
_SPECIAL = {"gpu": Fractions(1.0, 2.0, 3.3), "cpu": Fractions(0.53, 1.25, 2.0)}
_ATOMIC = Fractions(0.8, 1.0, 1.6)  # of that rate: 1.9 to 3.2 ns there, and another machine is another
_TRAFFIC = Fractions(2.0, 1.06, 0.43)  # on a CPU: time of the remaining traffic, by what it took before
_CALL_NS = Fractions(65e3, 50e3, 15e3)  # and to enter a compiled region or a fused optimizer
# And for a further kernel of a region that is entered already: measured 1.4 µs, without other threads.
_INNER_NS = Fractions(10e3, 5e3, 1.5e3)


class Work(msgspec.Struct, frozen=True):
    """What the replacement of a region still has to do."""

    bytes: int
    launches: int = 1
    backward: bool = False
    matrix: tuple[tuple[str, int], ...] = ()  # (precision, FLOPs) of products
    special_flops: int = 0  # by SPECIAL_FLOPS
    loop_flops: int = 0  # what a CPU spends on the elements of generated loops, likewise
    atomic_flops: int = 0  # likewise, on elements that it adds through an index
    kept_ns: float = 0.0  # of the time before, what takes as long: ATen adds through an index as it does
    share: float = 1.0  # of the traffic before, CPU-weighted
    inner: int = 0  # kernels, on a CPU, of a compiled region whose call is counted elsewhere


NOTHING = Work(0, 0, share=0.0)
"""No replacement: what is there goes away altogether."""


def saving(measured_ns: float, after: Work, device: Device, floor_ns: float) -> Band | None:
    """A step's band; None where the roofs are not known. Below 0 where atomic operations take longer."""
    cpu = device.kind == "cpu"
    taken = _on_cpu(measured_ns, after, device) if cpu else gpu_ns(after, device, floor_ns)
    least = float("-inf") if cpu and after.atomic_flops else 0.0
    return Band(*(max(least, measured_ns - time) for time in taken)) if taken else None


def gpu_ns(
    after: Work, device: Device, floor_ns: float, times: KernelTimes | None = None
) -> Fractions | None:
    """What the replacement takes on a GPU; None where the roofs are not known. `times`: others than ours."""
    arithmetic = _arithmetic_ns(after, device)
    if not device.bandwidth_bytes_per_s or arithmetic is None:
        return None
    times = times or (_BACKWARD if after.backward else FORWARD)
    if after.matrix:  # what products reach allows for their launches
        times = replace(times, launch=Fractions(1.0, 1.0, 1.0))
    return times.of(after.launches * floor_ns, after.bytes / device.bandwidth_bytes_per_s * 1e9, arithmetic)


def _on_cpu(measured_ns: float, after: Work, device: Device) -> Fractions | None:
    """Arithmetic, then traffic at the speed it had before, and a call, in ns; None where roofs are not known.

    What a CPU makes of its bandwidth depends on whose pages are new and whose are in a cache, which a roof
    does not show and the time before does: the replacement reads and writes tensors of the same sizes.
    """
    arithmetic = _arithmetic_ns(after, device)
    if not device.bandwidth_bytes_per_s or arithmetic is None:
        return None
    moving_ns = measured_ns - after.kept_ns
    each = zip(arithmetic, _TRAFFIC, _CALL_NS, _INNER_NS, strict=True)
    return Fractions(*(
        after.kept_ns + stays + after.share * slower * max(0.0, moving_ns - stays)
        + after.launches * call + after.inner * further
        for stays, slower, call, further in each
    ))  # fmt: skip


def _arithmetic_ns(after: Work, device: Device) -> Fractions | None:
    """At worst, as a rule and at best; None where a peak that is needed is not known."""
    products = [_product_ns(device, precision, flops) for precision, flops in after.matrix]
    if any(product is None for product in products):
        return None
    vector = device.peak("vector", "fp32") or _peak(device, "fp32")
    loops = after.loop_flops if device.kind == "cpu" else 0  # a GPU's hide behind its memory
    special = (after.special_flops + loops) / vector if vector else 0.0
    atomic = after.atomic_flops / vector if device.kind == "cpu" and vector else 0.0
    loops_ns = (
        1e9 * (special / rate + atomic / of_atomic)
        for rate, of_atomic in zip(_SPECIAL[device.kind], _ATOMIC, strict=True)
    )
    products_ns = zip(*(product for product in products if product), strict=True)
    whole_ns = [sum(each) for each in products_ns] or [0.0, 0.0, 0.0]
    return Fractions(*(whole + loop for whole, loop in zip(whole_ns, loops_ns, strict=True)))


def _product_ns(device: Device, precision: str, flops: int) -> Fractions | None:
    """What products of so many FLOPs take; None where their peak is not known."""
    peak = _peak(device, precision)
    if peak is None:
        return None
    ideal_ns = 1e9 * flops / peak
    if device.kind == "cpu":
        of_peak = _CPU_PRODUCTS
    else:
        engine = "matrix" if device.peak("matrix", precision) else "vector"
        of_peak = next(reached for up_to, reached in _PRODUCTS[engine] if ideal_ns <= up_to)
    return Fractions(*(ideal_ns / reached for reached in of_peak))


def _peak(device: Device, precision: str) -> float | None:
    return device.peak("matrix", precision) or device.peak("vector", precision)


def added(bands: Sequence[Band]) -> Band:
    """Of parts that exclude each other's time."""
    low, mid, high = sum(b.low for b in bands), sum(b.mid for b in bands), sum(b.high for b in bands)
    return Band(float(low), float(mid), float(high))


def proved(band: Band, measured_ns: float) -> Band | None:
    """No wider than a proof may be: what is beyond is not promised. None where next to nothing is sure.

    `measured_ns`: of what is replaced; 0 where that is no operators.
    """
    if band.low <= 0 or band.mid < _MIN_SAVED_SHARE * measured_ns:
        return None
    most = WIDEST**0.5  # as far above the middle as below it
    low = min(max(band.low, band.mid / most), (1 - _CLOSEST) * band.mid)
    most = min(band.high, measured_ns or band.high)  # what is replaced by something takes longer than nothing
    mid = min(band.mid, most)
    return Band(min(low, mid), mid, min(most, low * WIDEST))


def possible(band: Band) -> Band:
    """Where it is likely and not proved: it may save nothing."""
    return Band(0.0, max(0.0, band.mid / 2), max(0.0, band.high))


def at_most(band: Band, most_ns: float) -> Band:
    """No end of it beyond `most_ns`: nobody saves more than the step."""
    return Band(min(band.low, most_ns), min(band.mid, most_ns), min(band.high, most_ns))


def scaled(band: Band, times: float) -> Band:
    """Of so many such parts."""
    return Band(band.low * times, band.mid * times, band.high * times)
