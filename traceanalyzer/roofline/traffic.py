"""Traffic of a row: what its kernels are known to move beyond the compulsory bytes.

A pass that a kernel's name proves reaches the memory only where its reuse distance exceeds the cache. The
passes themselves stand with the formulas (Cost.further), each with the hardware counters that showed it.
A CPU's lines that are read before they are overwritten come from memory where no cache holds them.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from traceanalyzer.cost.cpu_work import lines_read_first
from traceanalyzer.device.table import part_of
from traceanalyzer.records import Cost, Device, FurtherPass, OpCall, Unpriced

_VENDOR = "NVIDIA"  # whose parts the counters are of
_THREADS = 2048  # most that a multiprocessor holds, where the trace does not say


CallsWith = Callable[[str], tuple[int, int]]
"""Pattern of a kernel's name -> (calls of a row with such a kernel, calls of the row)."""


class Cache(msgspec.Struct, frozen=True):
    """The device's last-level cache, and the threads that share it."""

    bytes: int
    multiprocessors: int

    @classmethod
    def of(cls, device: Device) -> Cache | None:
        """None where its size is not known, or no counters were seen of the vendor's parts."""
        part = part_of(device)
        if part is None or part.vendor != _VENDOR or not device.l2_bytes or not device.multiprocessors:
            return None
        return cls(device.l2_bytes, device.multiprocessors)

    def loses(self, again: FurtherPass, threads: int) -> bool:
        """Whether what is moved between two uses does not fit. `threads`: resident on a multiprocessor."""
        resident = again.per_thread * (threads or _THREADS) * self.multiprocessors
        return (min(again.between, resident) if again.per_thread else again.between) > self.bytes


class Traffic(msgspec.Struct, frozen=True):
    """What one call of a row moves, more than its compulsory bytes, and why; a mean where calls differ."""

    bytes: int
    why: str
    proved: bool = True  # else it may move so much, and what is known does not say


def traffic(
    cost: Cost | Unpriced, calls_with: CallsWith, cache: Cache | None, threads: int
) -> Traffic | None:
    """None where no more than the compulsory bytes is proved. A pass counts for the calls that show it."""
    if cache is None or not isinstance(cost, Cost) or not cost.further:
        return None
    moved, reasons = 0, []
    for each in cost.further:
        shown, calls = calls_with(each.kernel) if cache.loses(each, threads) else (0, 0)
        if shown:
            moved += each.bytes * shown // calls
            reasons.append(each.why if shown == calls else f"{each.why} (in {shown:,} of {calls:,} calls)")
    return Traffic(cost.bytes + moved, "; ".join(dict.fromkeys(reasons))) if reasons else None


def cpu_traffic(call: OpCall | None, cost: Cost | Unpriced, cache_bytes: int | None) -> Traffic | None:
    """With the lines that are read before they are overwritten.

    None where all are updated in place, or all that a call touches fits into the caches: what it overwrites
    may lie there from the time before. Not proved where their size is not known.
    """
    if call is None or not isinstance(cost, Cost) or call.triton:
        return None
    again = lines_read_first(call, cost)
    if not again or (cache_bytes is not None and cost.bytes <= cache_bytes):
        return None
    why = "lines are read before they are overwritten"
    return Traffic(cost.bytes + again, why, proved=cache_bytes is not None)
