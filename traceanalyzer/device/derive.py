"""Roofs from the clocks and the bus width that the collector recorded, for a part that the table lacks.

Confidence is low: the clocks are the highest ones, tensor units may run at another, and what a vendor
switches off in one product is not known. NVIDIA's parts only: others count their memory's clock otherwise.
"""

from __future__ import annotations

from traceanalyzer.device.architecture import peaks_at
from traceanalyzer.device.names import normalized
from traceanalyzer.records import Device, GpuClocks
from traceanalyzer.records.trace import DeviceProperties
from traceanalyzer.records.units import si

_TRANSFERS = 2  # a clock: CUDA reports half the data rate of every memory


def bandwidth(clocks: GpuClocks) -> float | None:
    """Bytes a second; None where clock or width are not recorded."""
    if not clocks.memory_clock_hz or not clocks.memory_bus_bits:
        return None
    return _TRANSFERS * clocks.memory_clock_hz * clocks.memory_bus_bits / 8


def derived(properties: DeviceProperties, clocks: GpuClocks | None) -> Device | None:
    """None where too little is recorded, or the architecture is not known."""
    if clocks is None or not clocks.clock_hz:
        return None
    name = properties.name or clocks.name
    count = properties.multiprocessors or clocks.multiprocessors
    rate = bandwidth(clocks)
    peaks = peaks_at(name, properties.compute_capability, count or 0, clocks.clock_hz) if count else ()
    if not peaks or rate is None:
        return None
    return Device(
        id=f"derived-{'-'.join(normalized(name).split())}", name=name, kind="gpu", how="derived",
        confidence="low",
        bandwidth_bytes_per_s=rate, l2_bytes=clocks.l2_bytes, multiprocessors=count, peaks=peaks,
        provenance=f"{name!r} is not in the table. Derived from what the recording says of it: {count} "
        f"multiprocessors of compute capability {properties.compute_capability} at "
        f"{si(clocks.clock_hz, 'Hz')}, memory of {clocks.memory_bus_bits} bit at "
        f"{si(clocks.memory_clock_hz or 0, 'Hz')}, two transfers a clock.",
    )  # fmt: skip
