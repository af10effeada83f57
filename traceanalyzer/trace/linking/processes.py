"""Several processes in one file, as tools write that join the traces of a job: one `Raw` each.

Correlation and External ids, sequence numbers and threads belong to a process, so each is linked as if it
were alone. The pid of a host row names its process. That of a device row is the number of a device, which
a joining tool renames or shifts as it does the others, or leaves alone: `owners` tells whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import Bools, Ids, Ints
from traceanalyzer.trace.linking.owners import by_pid, natural, owners
from traceanalyzer.trace.reading.raw import NO_RAW_SYNCS, Raw

_LEAST_ROWS = 2  # of a process that is one of several
_LEAST_SHARE = 0.001  # of the rows of the largest
_RANK = re.compile(r"(?:rank|tp|dp|pp|ep|cp|worker|gpu|process)[ _#:=-]?(\d{1,6})(?!\d)", re.IGNORECASE)
_PROCESS = re.compile(r" \(process ([^()]+)\)$")
_SHOWN = 40  # characters of its name
_LISTED = 4  # processes that the notice names
_Table = TypeVar("_Table", bound=msgspec.Struct)


def by_process(raw: Raw) -> tuple[Raw, ...]:
    """One for each process with work, in the order of their ranks; a file of one process as it is.

    Where their pids name no ranks, they have none, and each one's path says which process it is.
    Where some recorded activity of a GPU, those that did not are left out.
    """
    pids = _processes(raw)
    if len(pids) < 2:
        return (raw,)
    labels = [raw.pids[pid] for pid in pids]
    process_of_pid = np.full(len(raw.pids), -1, np.int32)
    process_of_pid[pids] = np.arange(len(pids), dtype=np.int32)
    process = process_of_pid[raw.thread_pid]  # of each thread
    used = list(range(len(pids)))
    owner = np.zeros(0, np.int32)
    if len(raw.kernels.start_ns):
        hosts = len(raw.launches.start_ns) > 0
        owner = owners(raw, process, labels) if hosts else process_of_pid[raw.kernels.pid]
        used = np.unique(owner).tolist()
    notice = _notice(labels, len(used))
    ranks = _ranks(labels)
    parts = [
        _part(raw, process, number, owner == number, labels[number], ranks[number], notice) for number in used
    ]
    return tuple(sorted(parts, key=lambda part: part.rank or 0))


def _notice(labels: Sequence[int | str], used: int) -> Notice:
    named = ", ".join(str(label)[:_SHOWN] for label in labels[:_LISTED]) + (
        ", ..." if labels[_LISTED:] else ""
    )
    left_out = len(labels) - used
    text = f"the file holds {len(labels)} processes ({named}); each is analyzed by itself, with its own ids"
    if left_out:
        text += f"; {left_out} without GPU activity are left out"
    return Notice("several_processes", text, len(labels))


def _processes(raw: Raw) -> list[int]:
    """Rows in `pids` of what runs operators and launches them, in natural order.

    Few rows under another pid are damage, or what the profiler does itself.
    """
    alone = by_pid(raw)
    if alone is not None:
        return sorted(np.flatnonzero(alone).tolist(), key=lambda pid: natural(raw.pids[pid]))
    if len(np.unique(raw.thread_pid)) < 2:
        return []
    operators = _rows_of_pid(raw, raw.ops.thread[~raw.ops.annotation])
    launches = _rows_of_pid(raw, raw.launches.thread)
    if not len(raw.kernels.start_ns):
        launches = operators
    elif not operators.any():
        operators = launches
    enough = launches >= max(_LEAST_ROWS, _LEAST_SHARE * int(launches.max(initial=0)))
    processes = np.flatnonzero(enough & (operators >= _LEAST_ROWS))
    return sorted(processes.tolist(), key=lambda pid: natural(raw.pids[pid]))


def _rows_of_pid(raw: Raw, thread: Ids) -> Ints:
    counts: Ints = np.bincount(raw.thread_pid[thread], minlength=len(raw.pids))
    return counts


def _ranks(labels: Sequence[int | str]) -> Sequence[int | None]:
    """What each label calls its rank, where that tells them apart; None where none does.

    A pid of 0 is no program's: where pids count from 0, a tool that joined the files wrote ranks there.
    """
    said = [_RANK.findall(str(label)) for label in labels]
    for numbers in zip(*said, strict=False):
        ranks = list(map(int, numbers))
        if len(set(ranks)) == len(labels):
            return ranks
    counted = list(range(len(labels)))
    return counted if [str(label) for label in labels] == list(map(str, counted)) else [None] * len(labels)


def process_named(path: str) -> str | None:
    """The process of a trace whose rank is not known, as `by_process` wrote it behind the file's name."""
    written = _PROCESS.search(path)
    return written[1] if written else None


def file_named(path: str) -> str:
    """The file of a trace, without the process that `by_process` wrote behind its name."""
    return _PROCESS.sub("", path)


def _part(
    raw: Raw, process: Ids, number: int, kernels: Bools, label: int | str, rank: int | None, notice: Notice
) -> Raw:
    """The rows of one process; the profiler's own work counts for all, where its pid is no process's."""
    mine = process == number
    spans = raw.spans
    return replace(
        raw,
        path=raw.path if rank is not None else f"{raw.path} (process {str(label)[:_SHOWN]})",
        ops=_chosen(raw.ops, mine[raw.ops.thread]),
        launches=_chosen(raw.launches, mine[raw.launches.thread]),
        memory=_chosen(raw.memory, mine[raw.memory.thread]),
        spans=_chosen(spans, mine[spans.thread] | (spans.profiler & (process[spans.thread] < 0))),
        frames=_chosen(raw.frames, mine[raw.frames.thread]),
        kernels=_chosen(raw.kernels, kernels) if len(kernels) else raw.kernels,
        syncs=NO_RAW_SYNCS,  # nothing in them says whose they are
        rank=rank,
        warnings=(*raw.warnings, notice),
    )


def _chosen(table: _Table, rows: Bools) -> _Table:
    columns = {name: column[rows] for name, column in msgspec.structs.asdict(table).items()}
    chosen: _Table = type(table)(**columns)
    return chosen
