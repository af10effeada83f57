"""Which devices may turn out to be the one on top, told while others are still to be read.

Suggestions are made for the device on top alone, and its columns are let go of before that is known. So they
are made for each that leads when it is read: the busiest so far, or the one that has waited least in
collectives, as the one that others wait for does. A device on top that does not lead is read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

if TYPE_CHECKING:  # workers are started before slow imports
    from traceanalyzer.records.rank_result import RankResult
    from traceanalyzer.records.rank_work import RankWork


class Leading(msgspec.Struct, frozen=True):
    """The best so far of those that were asked for."""

    rank: int | None = None  # only this one can be on top
    gpu: int | None = None
    every: bool = False  # all of them, as if each led
    busy_ns: int = -1
    communication_ns: int | None = None

    def leads(self, work: RankWork) -> bool:
        """Whether a device goes before all that are known."""
        if self.every:
            return True
        entry = work.entry
        if self.rank is not None and self.rank not in numbers(entry.rank, entry.file):
            return False
        if self.gpu is not None and entry.device_index != self.gpu:
            return False
        least = self.communication_ns
        return entry.busy_ns > self.busy_ns or least is None or work.communication_ns < least

    def after(self, results: tuple[RankResult, ...]) -> Leading:
        """With these known too."""
        leading = self
        for result in results:
            if leading.leads(result.work):
                leading = leading.joined(result.work)
        return leading

    def joined(self, work: RankWork) -> Leading:
        """With one that leads."""
        busy_ns, communication_ns, least = work.entry.busy_ns, work.communication_ns, self.communication_ns
        return replace(
            self,
            busy_ns=max(busy_ns, self.busy_ns),
            communication_ns=communication_ns if least is None else min(communication_ns, least),
        )


def numbers(rank: int | None, path: str) -> tuple[int, ...]:
    """What `--rank` knows a process by: its rank; its id, where a file of several names no ranks."""
    if rank is not None:
        return (rank,)
    from traceanalyzer.trace.linking.processes import process_named

    process = process_named(path) or ""
    return (int(process),) if process.isdecimal() else ()
