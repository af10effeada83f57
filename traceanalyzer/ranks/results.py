"""Results of a job's files as they come in, in as little memory as their number allows.

An Analysis is kept where its device may be the one on top, and what ranks have alike is kept once.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec
from msgspec.structs import replace

from traceanalyzer.ranks.leading import Leading
from traceanalyzer.records.file_result import FileResult

if TYPE_CHECKING:  # workers are started before slow imports
    from traceanalyzer.records.rank_result import RankResult

_Value = TypeVar("_Value", bound=Hashable)


DeviceKey = tuple[int, int]  # a file's number, and which of its devices


class Results(msgspec.Struct):
    """Of the files that have been read, by their number."""

    leading: Leading
    files: dict[int, FileResult] = msgspec.field(default_factory=dict)
    analyzed: list[DeviceKey] = msgspec.field(default_factory=list)  # those with an Analysis
    alike: dict[Hashable, Hashable] = msgspec.field(default_factory=dict)

    def add(self, number: int, file: FileResult) -> None:
        """One more; those that are led now need their Analysis no more."""
        self.leading = self.leading.after(file.results)
        self.files[number] = replace(file, results=tuple(map(self._shared, file.results)))
        led = [*self.analyzed, *((number, at) for at, each in enumerate(file.results) if each.analysis)]
        self.analyzed = led if self.leading.every else self._in_the_lead(led)
        for device in set(led) - set(self.analyzed):
            self._without_analysis(device)

    def in_order(self) -> list[FileResult]:
        """By number."""
        return [self.files[number] for number in sorted(self.files)]

    def _in_the_lead(self, devices: list[DeviceKey]) -> list[DeviceKey]:
        """The busiest, and the one that has waited least; of several alike the first."""
        if not devices:
            return []
        work = {(number, at): self.files[number].results[at].work for number, at in sorted(devices)}
        busiest = max(work, key=lambda device: work[device].entry.busy_ns)
        return list({busiest, min(work, key=lambda device: work[device].communication_ns)})

    def _without_analysis(self, device: DeviceKey) -> None:
        number, at = device
        results = list(self.files[number].results)
        results[at] = replace(results[at], analysis=None)
        self.files[number] = replace(self.files[number], results=tuple(results))

    def _shared(self, result: RankResult) -> RankResult:
        """Forms of work and of collectives are the same objects as those of other ranks, where equal."""
        table = result.activity.collectives
        kept = tuple(replace(form, ranks=self._once(form.ranks)) for form in table.forms)
        collectives = replace(table, forms=tuple(map(self._once, kept)))
        forms = self._once(tuple(map(self._once, result.work.forms)))
        return replace(
            result, work=replace(result.work, forms=forms),
            activity=replace(result.activity, collectives=collectives),
        )  # fmt: skip

    def _once(self, value: _Value) -> _Value:
        """The first that was equal to it."""
        return cast(_Value, self.alike.setdefault(value, value))
