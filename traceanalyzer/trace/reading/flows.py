"""What ties a device's rows to their launches where neither carries a `correlation`.

Kineto's early ROCm tracer wrote the same `External id` on both rows instead, and flows (`ac2g`) from a launch
to its kernel, which tools that rewrite traces keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from traceanalyzer.records.trace import Ids, Ints
from traceanalyzer.trace.reading.column_builder import Interned, nanoseconds
from traceanalyzer.trace.reading.events import Event
from traceanalyzer.trace.reading.raw import RawKernels, RawLaunches

ARROW = "ac2g"  # the category of a flow from the host to the device
_TIED = 1 << 14  # rows of a device with a correlation, all of them: then no flow is needed
_APART = 1 << 40  # added to what stands for a correlation beside recorded ones


class Flows:
    """Both ends of each flow of a file, kept as long as they may be needed."""

    def __init__(self) -> None:
        self._ends: list[tuple[Event, bool]] = []
        self._tied = 0
        self._needed = False

    @property
    def wanted(self) -> bool:
        """Whether some row of the device may need them."""
        return self._needed or self._tied < _TIED

    def add(self, events: list[Event]) -> None:
        """Take some ends."""
        if self.wanted:
            self._ends += [(event, event.ph == "s") for event in events if event.ph in ("s", "f")]

    def seen(self, correlation: Ints) -> None:
        """Note correlations of rows of the device."""
        self._tied += len(correlation)
        self._needed = self._needed or bool((correlation < 0).any())
        if not self.wanted:
            self._ends.clear()

    def tied(
        self, launches: RawLaunches, kernels: RawKernels, thread_of: Callable[[Event], int],
        pid_of: Callable[[Event], int],
    ) -> tuple[RawLaunches, RawKernels]:  # fmt: skip
        """With correlations of flows where a launch and a device's row have none."""
        if not self._ends or not (kernels.correlation < 0).any():
            return launches, kernels
        numbers = Interned()
        of_launch: dict[tuple[int, int], int] = {}
        of_kernel: dict[tuple[int, int], int] = {}
        times = nanoseconds(np.array([event.ts for event, _ in self._ends], np.float64))
        for (event, starts), ns in zip(self._ends, times.tolist(), strict=True):
            number = 2 * _APART + numbers[event.id]
            if starts:
                of_launch[thread_of(event), ns] = number
            else:
                of_kernel[pid_of(event), ns] = number
        return (
            replace(
                launches,
                correlation=_filled(launches.correlation, launches.thread, launches.start_ns, of_launch),
            ),
            replace(
                kernels, correlation=_filled(kernels.correlation, kernels.pid, kernels.start_ns, of_kernel)
            ),
        )


def _filled(correlation: Ints, owner: Ids, start_ns: Ints, number_at: dict[tuple[int, int], int]) -> Ints:
    filled = correlation.copy()
    for row in np.flatnonzero(correlation < 0).tolist():
        filled[row] = number_at.get((int(owner[row]), int(start_ns[row])), -1)
    return filled


def by_external_id(launches: RawLaunches, kernels: RawKernels) -> tuple[RawLaunches, RawKernels]:
    """With the External id for a correlation, where launches and rows of the device have that alone."""
    calls = (launches.correlation < 0) & (launches.external >= 0)
    work = (kernels.correlation < 0) & (kernels.external >= 0)
    work &= np.isin(kernels.external, launches.external[calls])
    if not work.any():
        return launches, kernels
    apart = 0 if calls.all() else _APART
    return (
        replace(launches, correlation=np.where(calls, launches.external + apart, launches.correlation)),
        replace(kernels, correlation=np.where(work, kernels.external + apart, kernels.correlation)),
    )
