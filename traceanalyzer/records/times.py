"""Times of an Analysis: the window, its steps, busy and idle time. All in integer nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from traceanalyzer.records.vocabulary import IdleCause, Verdict

_ALIKE = 1.1  # the longest step over the shortest, up to which the average is that of every step


class Spread(msgspec.Struct, frozen=True):
    """Median, minimum and maximum, in ns."""

    median: int
    min: int
    max: int


class StepKind(msgspec.Struct, frozen=True):
    """Steps that run the same operators and take about as long."""

    steps: tuple[str, ...]
    why: str  # what tells them from the kind whose step is shown


def kind_name(index: int) -> str:
    """`A` of the first kind, which holds the step that is shown, `B` of the second."""
    return chr(ord("A") + index) if index < 26 else f"#{index + 1}"


class WindowInfo(msgspec.Struct, frozen=True):
    """The window: its steps by name, its length, and the spread of its steps' times on the device."""

    step_count: int | None
    steps: tuple[str, ...]
    window_ns: int
    step_ns: Spread | None
    kinds: tuple[StepKind, ...] | None = None  # None: all of one kind


class NamedTime(msgspec.Struct, frozen=True):
    """Time of everything of one name, in ns."""

    name: str
    time_ns: int


class IdlePart(msgspec.Struct, frozen=True):
    """Idle time of the window by cause; the parts add up to `TimeInfo.idle_ns`."""

    cause: IdleCause
    time_ns: int
    names: tuple[NamedTime, ...] = ()  # what the host did in most of it, where the trace says so

    @property
    def main_name(self) -> str | None:
        """What the host did in most of it; None where no single name has as much."""
        largest = max(self.names, key=lambda each: each.time_ns, default=None)
        return largest.name if largest and 2 * largest.time_ns >= self.time_ns else None


class TimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Times over the window, in ns: busy + idle = window; busy is the union of the device's activity."""

    busy_ns: int
    idle_ns: int
    kernel_sum_ns: int
    outside_window_ns: int
    hidden_communication_ns: int
    hidden_copy_ns: int
    idle_by_cause: tuple[IdlePart, ...]


_OPEN = 0.01  # of a verdict's time, from which on nothing is said of how much of it runs at a roof


def known_at_roof(time_ns: int, at_roof_ns: int, open_ns: int) -> int | None:
    """`at_roof_ns`, unless it is not known of the rows that take a notable part (`roof_is_open`)."""
    return None if open_ns and open_ns >= _OPEN * time_ns else int(at_roof_ns)


class StepPart(msgspec.Struct, frozen=True):
    """Attributed time of one verdict in one step."""

    verdict: Verdict
    time_ns: int
    at_roof_ns: int | None = None  # of rows that run at a roof; None: not known


class StepTime(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the window: verdicts and causes add up to `device_ns`, all `device_ns` to the window."""

    name: str
    host_ns: int  # of its annotation
    device_start_ns: int  # on the trace's clock
    device_ns: int  # as the device saw it
    extent_ns: int | None = None  # of device_ns, up to its own end: see `length_ns`; None: not reported
    host_lead_ns: int  # from the annotation's start to the device's: how far the host was ahead
    verdicts: tuple[StepPart, ...]  # all six
    idle_by_cause: tuple[IdlePart, ...]  # all causes

    @property
    def length_ns(self) -> int:
        """What steps are compared by: up to the end of its annotation or of its last activity, if later.

        What follows until the next step begins is no work of this one, and the last step has none of it.
        """
        return self.device_ns if self.extent_ns is None else self.extent_ns


def steps_differ(steps: Sequence[StepTime]) -> bool:
    """Whether their times differ by so much that an average would be of no step that was there."""
    lengths = [step.length_ns for step in steps]
    return bool(lengths) and max(lengths) > _ALIKE * min(lengths)


def typical_step(steps: Sequence[StepTime]) -> StepTime:
    """The one whose length on the device is the lower median; of several alike the one in the middle."""
    return sorted(steps, key=lambda step: step.length_ns)[(len(steps) - 1) // 2]


def shown_step(steps: Sequence[StepTime] | None, kinds: Sequence[StepKind] | None) -> StepTime | None:
    """The one step that a reader is shown, where steps differ or are of several kinds; else None."""
    return typical_step(steps) if steps and (kinds or steps_differ(steps)) else None
