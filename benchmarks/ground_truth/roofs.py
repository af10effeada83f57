"""Roofs of the device at hand: bandwidth, product and function rates, the launch floor, where the cache ends.

Beside the calibrated ones stand those that the table has for the device.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

import msgspec
import torch
from common import Section, saved

SIZES = [1 << power for power in range(18, 31)]  # bytes of one tensor


def copies(device: str, sizes: list[int]) -> list[dict[str, float]]:
    """Bandwidth of copying one tensor into another again and again: high while both stay in the cache."""
    found = []
    for size in sizes:
        source, target = (torch.rand(size // 4, device=device) for _ in range(2))
        rates = [2 * size / seconds(device, partial(target.copy_, source)) for _ in range(5)]
        found.append({"bytes": 2 * size, "bytes_per_s": median(rates)})
    return found


def seconds(device: str, run: Any, repeats: int = 20) -> float:
    """Of one run among several in a row; on a GPU by its own events."""
    run()
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            run()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1000 / repeats
    import time

    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begin) / repeats


def calibrated(dry: bool) -> tuple[dict[str, Any], str]:
    """What `traceanalyze calibrate` measures, and its file."""
    from traceanalyzer.device import toml_block
    from traceanalyzer.device.calibrate import measure_cpu
    from traceanalyzer.device.calibrate_gpu import measure_gpu

    measured = measure_cpu() if dry else measure_gpu()
    return msgspec.to_builtins(measured.spec), toml_block(measured.spec)


def tabled(device_id: str) -> dict[str, Any] | None:
    """The table's roofs of the device; None where it is not there."""
    from traceanalyzer.device.table import with_id

    spec = with_id(device_id)
    return msgspec.to_builtins(spec) if spec else None


def main(section: Section) -> None:
    roofs, text = calibrated(section.dry)
    (section.folder / "here.toml").write_text(text)
    saved(section, "roofs", {"calibrated": roofs, "table": tabled(roofs["id"])})
    device = "cpu" if section.dry else "cuda"
    saved(section, "copies", copies(device, SIZES[:2] if section.dry else SIZES))


if __name__ == "__main__":
    main(Section.from_arguments())
