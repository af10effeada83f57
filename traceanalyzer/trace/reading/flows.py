"""What ties a device's rows to their launches where neither carries a `correlation`.

Kineto's early ROCm tracer wrote the same `External id` on both rows instead, and flows (`ac2g`) from a launch
to its kernel, which tools that rewrite traces keep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records.trace import Ids, Ints
from traceanalyzer.trace.reading.column_builder import nanoseconds
from traceanalyzer.trace.reading.events import Event
from traceanalyzer.trace.reading.raw import RawKernels, RawLaunches

ARROW = "ac2g"  # the category of a flow from the host to the device
_TIED = 1 << 14  # rows of a device with a correlation, all of them: then no flow is needed
_APART = 1 << 40  # added to what stands for a correlation beside recorded ones
_UNKNOWN = -1


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
        stream_of: Callable[[Event], tuple[int, int]],
    ) -> tuple[RawLaunches, RawKernels]:  # fmt: skip
        """With correlations of flows where a launch and a device's row have none.

        `stream_of`: the process of a device and the stream that a flow leads to.
        """
        if not self._ends or not (kernels.correlation < 0).any():
            return launches, kernels
        times = nanoseconds(np.array([event.ts for event, _ in self._ends], np.float64)).tolist()
        begun, led, led_to_process = _Begun(), _Led(), _Led()
        for (event, starts), ns in zip(self._ends, times, strict=True):
            if starts:
                begun.add(event.id, (ns, thread_of(event)))
        for (event, starts), ns in zip(self._ends, times, strict=True):
            if not starts:
                process, stream = stream_of(event)
                number = begun.number_of.get(event.id, _UNKNOWN)
                led.add((ns, process, stream), number)
                led_to_process.add((ns, process), number)
        work = _filled(kernels.correlation, (kernels.start_ns, kernels.pid, kernels.stream), led)
        if (work == kernels.correlation).all():  # the threads that flows lead to may not be streams
            work = _filled(kernels.correlation, (kernels.start_ns, kernels.pid), led_to_process)
        calls = begun.filled(launches.correlation, launches.start_ns, launches.thread)
        return replace(launches, correlation=calls), replace(kernels, correlation=work)


class _Begun:
    """The number of each flow by its id and by the moment and thread where it begins.

    Flows that begin together have one number: the operator that is open there is the same.
    """

    def __init__(self) -> None:
        self.number_of: dict[int | str | None, int] = {}
        self._number_at: dict[tuple[int, int], int] = {}

    def add(self, flow: int | str | None, position: tuple[int, int]) -> None:
        """One beginning; of an id that begins at places with two numbers nothing is known."""
        next_number = self.number_of.get(flow, 2 * _APART + len(self._number_at))
        number = self._number_at.setdefault(position, next_number)
        self.number_of[flow] = number if self.number_of.get(flow, number) == number else _UNKNOWN

    def filled(self, correlation: Ints, start_ns: Ints, thread: Ids) -> Ints:
        """Correlations of launches, with the numbers of the flows where they have none."""
        filled = correlation.copy()
        for row in np.flatnonzero(correlation < 0).tolist():
            filled[row] = self._number_at.get((int(start_ns[row]), int(thread[row])), _UNKNOWN)
        return filled


class _Led(dict[tuple[int, ...], int]):
    """Where flows lead -> the number of the one that leads there; unknown where several do."""

    def add(self, position: tuple[int, ...], number: int) -> None:
        """One end."""
        self[position] = number if self.get(position, number) == number else _UNKNOWN


def _filled(correlation: Ints, position: tuple[Ints | Ids, ...], led: _Led) -> Ints:
    """With the number that leads to each kernel's place; of several in one none is known."""
    missing = correlation < 0
    near = np.flatnonzero(np.isin(position[0], position[0][missing]))
    places = list(zip(*(column[near].tolist() for column in position), strict=True))
    kernels_at = Counter(places)
    filled = correlation.copy()
    for row, where in zip(near.tolist(), places, strict=True):
        if missing[row] and kernels_at[where] == 1:
            filled[row] = led.get(where, _UNKNOWN)
    return filled


def by_external_id(launches: RawLaunches, kernels: RawKernels) -> tuple[RawLaunches, RawKernels]:
    """With the External id for a correlation, where launches and rows of the device have that alone.

    The ids are then the tracer's own numbers of its calls: those of kernels without a correlation name no
    operator and are left out, whether or not a launch has them.
    """
    calls = (launches.correlation < 0) & (launches.external >= 0)
    untied = kernels.correlation < 0
    work = untied & (kernels.external >= 0) & np.isin(kernels.external, launches.external[calls])
    if not work.any():
        return launches, kernels
    alone = untied.all() and (launches.correlation < 0).all()
    apart = 0 if alone else _APART  # a recorded correlation may be the same number, of something else
    return (
        replace(launches, correlation=np.where(calls, launches.external + apart, launches.correlation)),
        replace(
            kernels,
            correlation=np.where(work, kernels.external + apart, kernels.correlation),
            external=np.where(untied, -1, kernels.external),
        ),
    )
