"""What the process used up to a step's border, by the clock and by the system's counters."""

from __future__ import annotations

from time import perf_counter_ns

import msgspec

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


class ProcessUse(msgspec.Struct, frozen=True):
    """At one moment, or between two. Of all threads together, without child processes."""

    ns: int
    page_faults: int | None = None  # pages that are mapped when first touched, without reading a disk
    system_ns: int | None = None  # processor time inside the system

    @classmethod
    def now(cls) -> ProcessUse:
        """Since the process began; by the clock since whenever."""
        if resource is None:
            return cls(perf_counter_ns())
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(perf_counter_ns(), used.ru_minflt, round(used.ru_stime * 1e9))

    def since(self, earlier: ProcessUse) -> ProcessUse:
        """Between the two."""
        return ProcessUse(
            self.ns - earlier.ns,
            _grown(self.page_faults, earlier.page_faults),
            _grown(self.system_ns, earlier.system_ns),
        )


def page_bytes() -> int | None:
    """Of a page of memory; None where page faults are not counted."""
    return None if resource is None else resource.getpagesize()


def _grown(now: int | None, earlier: int | None) -> int | None:
    return None if now is None or earlier is None else max(0, now - earlier)
