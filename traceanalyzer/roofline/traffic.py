"""Traffic of a row: what its kernels are known to move beyond the compulsory bytes.

A pass that a kernel's name proves reaches the memory only where its reuse distance exceeds the cache. The
passes themselves stand with the formulas (Cost.further), each with the hardware counters that showed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from traceanalyzer.cost.cpu_work import lines_read_first
from traceanalyzer.device.table import by_id
from traceanalyzer.records import Cost, Device, FurtherPass, OpCall, Unpriced

_VENDOR = "NVIDIA"  # whose parts the counters are of
_THREADS = 2048  # most that a multiprocessor holds, where the trace does not say


@dataclass(frozen=True, slots=True)
class Cache:
    """The device's last-level cache, and the threads that share it."""

    bytes: int
    multiprocessors: int

    @classmethod
    def of(cls, device: Device) -> Cache | None:
        """None where its size is not known, or no counters were seen of the vendor's parts."""
        part = by_id().get(device.id)
        if part is None or part.vendor != _VENDOR or not device.l2_bytes or not device.multiprocessors:
            return None
        return cls(device.l2_bytes, device.multiprocessors)

    def loses(self, again: FurtherPass, threads: int) -> bool:
        """Whether what is moved between two uses does not fit. `threads`: resident on a multiprocessor."""
        resident = again.per_thread * (threads or _THREADS) * self.multiprocessors
        return (min(again.between, resident) if again.per_thread else again.between) > self.bytes


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one call of a row moves, more than its compulsory bytes, and why."""

    bytes: int
    why: str


def traffic(
    cost: Cost | Unpriced, kernels: Iterable[str], cache: Cache | None, threads: int
) -> Traffic | None:
    """None where no more than the compulsory bytes is proved. `kernels`: names of the row's."""
    if cache is None or not isinstance(cost, Cost) or not cost.further:
        return None
    names = tuple(kernels)
    again = [
        each for each in cost.further
        if cache.loses(each, threads) and any(re.search(each.kernel, name) for name in names)
    ]  # fmt: skip
    if not again:
        return None
    why = "; ".join(dict.fromkeys(each.why for each in again))
    return Traffic(cost.bytes + sum(each.bytes for each in again), why)


def cpu_traffic(call: OpCall | None, cost: Cost | Unpriced) -> Traffic | None:
    """With the lines that are read before they are overwritten; None where all are updated in place."""
    if call is None or not isinstance(cost, Cost) or call.triton:
        return None
    again = lines_read_first(call, cost)
    return Traffic(cost.bytes + again, "lines are read before they are overwritten") if again else None
