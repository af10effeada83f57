"""Times of an Analysis: the window, its steps, busy and idle time. All in integer nanoseconds."""

from __future__ import annotations

import msgspec

from traceanalyzer.records.vocabulary import IdleCause, Verdict


class Spread(msgspec.Struct, frozen=True):
    """Median, minimum and maximum, in ns."""

    median: int
    min: int
    max: int


class WindowInfo(msgspec.Struct, frozen=True):
    """The window: its steps by name, its length, and the spread of its steps' times on the device."""

    step_count: int | None
    steps: tuple[str, ...]
    window_ns: int
    step_ns: Spread | None


class NamedTime(msgspec.Struct, frozen=True):
    """Time of everything of one name, in ns."""

    name: str
    time_ns: int


class IdlePart(msgspec.Struct, frozen=True):
    """Idle time of the window by cause; the parts add up to `TimeInfo.idle_ns`."""

    cause: IdleCause
    time_ns: int
    names: tuple[NamedTime, ...] = ()  # what the host did in most of it, where the trace says so


class TimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Times over the window, in ns: busy + idle = window; busy is the union of the device's activity."""

    busy_ns: int
    idle_ns: int
    kernel_sum_ns: int
    outside_window_ns: int
    hidden_communication_ns: int
    hidden_copy_ns: int
    idle_by_cause: tuple[IdlePart, ...]


class StepPart(msgspec.Struct, frozen=True):
    """Attributed time of one verdict in one step."""

    verdict: Verdict
    time_ns: int


class StepTime(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the window: verdicts and causes add up to `device_ns`, all `device_ns` to the window."""

    name: str
    host_ns: int  # of its annotation
    device_start_ns: int  # on the trace's clock
    device_ns: int  # as the device saw it
    host_lead_ns: int  # from the annotation's start to the device's: how far the host was ahead
    verdicts: tuple[StepPart, ...]  # all six
    idle_by_cause: tuple[IdlePart, ...]  # all causes
