"""Recordings of further steps, behind the captured ones, from which no time is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traceanalyzer.collect import counters
from traceanalyzer.collect.calling_lines import CallingLines
from traceanalyzer.collect.capture import Capture, CaptureResult
from traceanalyzer.collect.schedule import Schedule


class FurtherRecordings:
    """One step each: operators with their storages, hardware counters."""

    def __init__(self, schedule: Schedule, folder: Path, say: Callable[[str], None]) -> None:
        """Of `say` a line where something asked for cannot be recorded."""
        self._schedule, self._folder = schedule, folder
        self._lines = CallingLines()
        self._left: list[Callable[[], Capture]] = [self._storages] if schedule.evidence else []
        if schedule.counters and (why := counters.missing()) is not None:
            say(f"hardware counters are not recorded: {why}")
        elif schedule.counters:
            self._left.append(self._counters)

    def __bool__(self) -> bool:
        return bool(self._left)

    def begin(self) -> Capture:
        """The next one, which is to be prepared and started."""
        return self._left[0]()

    def ended(self, result: CaptureResult) -> None:
        """The one begun last is in its file, which `result` names from here on."""
        if self._left.pop(0) == self._storages:
            result.structure, result.call_sites = self._structure, self._lines.call_sites
        else:
            result.counters = self._counted

    @property
    def _structure(self) -> tuple[Path, Path]:
        return self._folder / "structure.json", self._folder / "execution.json"

    @property
    def _counted(self) -> Path:
        return self._folder / "counters.json"

    def _storages(self) -> Capture:
        return Capture(self._schedule, *self._structure, lines=self._lines)

    def _counters(self) -> Capture:
        return Capture(self._schedule, self._counted, options=counters.options())
