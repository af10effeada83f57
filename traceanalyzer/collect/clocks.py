"""What the driver says of the GPUs and the profiler's trace does not: clocks, bus width, cache."""

from __future__ import annotations

from typing import Any

from traceanalyzer.collect.accelerator import in_use

_KHZ = 1000


def gpu_clocks() -> list[dict[str, Any]] | None:
    """`recording.clocks`; None where the script uses no GPU, or torch is too old to tell (before 2.9)."""
    if in_use() != "cuda":
        return None
    import torch

    count = torch.cuda.device_count()
    entries = [clocks_of(torch.cuda.get_device_properties(index), index) for index in range(count)]
    return entries if any(entry["clock_hz"] for entry in entries) else None


def clocks_of(properties: Any, index: int) -> dict[str, Any]:
    """One entry, from `torch.cuda.get_device_properties`; null where a property is missing or 0."""

    def value(key: str, factor: int = 1) -> int | None:
        count = getattr(properties, key, None)
        return count * factor if isinstance(count, int) and count > 0 else None

    return {
        "index": index,
        "name": str(properties.name),
        "multiprocessors": value("multi_processor_count"),
        "clock_hz": value("clock_rate", _KHZ),
        "memory_clock_hz": value("memory_clock_rate", _KHZ),
        "memory_bus_bits": value("memory_bus_width"),
        "l2_bytes": value("L2_cache_size"),
    }
