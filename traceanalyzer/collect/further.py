"""Recordings of further steps, behind the captured ones, from which no time is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traceanalyzer.collect import counters
from traceanalyzer.collect.calling_lines import CallingLines
from traceanalyzer.collect.capture import Capture, CaptureResult, EvidenceStep, FurtherSteps
from traceanalyzer.collect.schedule import Schedule


class FurtherRecordings:
    """One step each: operators with their storages, hardware counters."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Of `say` a line where something asked for cannot be recorded."""
        self.recorded = FurtherSteps()  # since the last `plan`, for every capture from then on
        self._folder, self._say = folder, say
        self._plans = 0
        self._left: list[Callable[[], Capture]] = []
        self._earlier: list[FurtherSteps] = []

    def plan(self, schedule: Schedule) -> None:
        """What `schedule` asks for is to be recorded, of steps that have nothing to do with earlier ones."""
        self._earlier.append(self.recorded)
        self.recorded = FurtherSteps()
        self._plans += 1
        self._schedule, self._lines = schedule, CallingLines()
        self._left = [self._storages] if schedule.evidence else []
        if schedule.counters and (why := counters.missing()) is not None:
            self._say(f"hardware counters are not recorded: {why}")
        elif schedule.counters:
            self._left.append(self._counters)

    def __bool__(self) -> bool:
        return bool(self._left)

    def begin(self) -> Capture:
        """The next one, which is to be prepared and started."""
        return self._left[0]()

    def ended(self) -> None:
        """The one begun last is in its file, which `recorded` names from here on."""
        if self._left.pop(0) == self._storages:
            self.recorded.evidence = EvidenceStep(*self._structure, self._lines.call_sites)
        else:
            self.recorded.counters = self._file("counters")

    def lost(self, result: CaptureResult) -> str | None:
        """That something was recorded which `result` lacks: of steps that are not in its trace."""
        earlier = dict.fromkeys(part for each in self._earlier for part in each.parts)
        lacks = [part for part in earlier if part not in result.further.parts]
        if not lacks:
            return None
        names = " and ".join(lacks)
        return f"{names} are left out: they are of steps before counting restarted, which the trace lacks"

    @property
    def _structure(self) -> tuple[Path, Path]:
        return self._file("structure"), self._file("execution")

    def _file(self, name: str) -> Path:
        """Of its own for each plan: the capture before may still be the one that is saved."""
        return self._folder / f"{name}-{self._plans}.json"

    def _storages(self) -> Capture:
        return Capture(self._schedule, *self._structure, lines=self._lines)

    def _counters(self) -> Capture:
        return Capture(self._schedule, self._file("counters"), options=counters.options())
