"""Whose a device row is, in a file of several processes.

All rows with one pid on one device are a lane, which mostly belongs to one process:

1. that whose pid is written like the lane's but for one number (`[TP02] 4100` and `[TP02] 2`), or equals it
2. else that whose launches explain most of the lane: the ids, and the order of time
3. else, of several that explain it alike, by order: the first lane is the first process's

A lane that several share (each calls its device 0, and nothing was renamed) is taken apart row by row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from traceanalyzer.records.trace import Bools, Ids, Ints, RecordKind, passes
from traceanalyzer.trace.linking.kinds import is_graph_launch
from traceanalyzer.trace.linking.link import latest_before
from traceanalyzer.trace.reading.raw import Raw

_CLOCKS_NS = 50_000  # by which a row may seem to start before its launch
_ALIKE = 0.98  # of the best, that another must explain to be no worse
_BELIEVED = 0.5  # of the best, that the process of a like name must explain
_TWICE = 0.01  # of a lane's rows, that share a launch of one kernel where they are of several processes
_COPY = re.compile(r"memcpy|memset", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


def owners(raw: Raw, process: Ids, labels: Sequence[int | str]) -> Ids:
    """The process of each device row, a place in `labels`; `process`: that of each thread, or -1."""
    kernels = raw.kernels
    pids, devices = kernels.pid.astype(np.int64), kernels.device.astype(np.int64)
    keys, lane = np.unique(pids << 32 | devices, return_inverse=True)
    of_launch = process[raw.launches.thread]
    launch = _explained(raw, of_launch, len(labels))
    owner = np.full(len(lane), -1, np.int32)
    undecided: list[tuple[Ints, list[int]]] = []
    for key in sorted(range(len(keys)), key=lambda key: natural(raw.pids[int(keys[key]) >> 32])):
        rows = np.flatnonzero(lane == key)
        candidates = _candidates(raw, launch[:, rows], int(keys[key]) >> 32, labels)
        if candidates:
            undecided.append((rows, candidates))
        else:
            owner[rows] = _row_by_row(raw, of_launch, launch[:, rows], rows)
    taken = {candidates[0] for _, candidates in undecided if len(candidates) == 1}
    for rows, candidates in undecided:
        free = [process for process in candidates if process not in taken]
        owner[rows] = chosen = (free or candidates)[0]
        taken.add(chosen)
    return owner


def _candidates(raw: Raw, launch: Ints, pid: int, labels: Sequence[int | str]) -> list[int]:
    """The processes that a lane may belong to; none where several share it."""
    count = (launch >= 0).sum(axis=1)
    best = int(count.max())
    named = _named_alike(raw.pids[pid], labels)
    if len(named) == 1 and count[named[0]] >= _BELIEVED * best:
        return named
    if _shared(raw, launch):
        return []
    return [process for process in range(len(labels)) if count[process] >= _ALIKE * best]


def natural(label: int | str) -> tuple[bool, tuple[tuple[str, int, str], ...]]:
    """A key that sorts labels by the values of the numbers in them."""
    text = str(label)
    numbers = [number.lstrip("0") for number in _NUMBER.findall(text)]  # of any length: longer is larger
    parts = zip(_NUMBER.split(text), [*map(len, numbers), -1], [*numbers, ""], strict=True)
    return isinstance(label, str), tuple(parts)


def _named_alike(pid: int | str, labels: Sequence[int | str]) -> list[int]:
    """The processes that are called like a device: equal but for one number, of several."""
    equal = [process for process, label in enumerate(labels) if label == pid]
    if equal or not isinstance(pid, str):
        return equal
    mine = _with_one_left_out(pid)
    return [process for process, label in enumerate(labels) if mine & _with_one_left_out(str(label))]


def _with_one_left_out(text: str) -> set[str]:
    return {f"{text[: n.start()]}#{text[n.end() :]}" for n in _NUMBER.finditer(text)} - {"#"}


def _explained(raw: Raw, of_launch: Ids, count: int) -> Ints:
    """For each process and device row the launch (row in Raw.launches) that explains it; -1 where none does.

    It has the row's correlation, is the last before it, and contradicts neither its External id nor its kind.
    """
    kernels, launches = raw.kernels, raw.launches
    copies = np.append(passes(raw.names, launches.name, _COPY.search), False)
    external = np.append(launches.external, -1)
    repeated = kernels.external == kernels.correlation
    explaining = np.full((count, len(kernels.start_ns)), -1, np.int64)
    for process in range(count):
        rows = np.flatnonzero(of_launch == process)
        near = latest_before(
            launches.correlation[rows], launches.start_ns[rows], kernels.correlation,
            kernels.start_ns + _CLOCKS_NS,
        )  # fmt: skip
        launch = np.append(rows, -1)[near]
        other = (external[launch] >= 0) & (kernels.external >= 0) & ~repeated
        other &= external[launch] != kernels.external
        other |= copies[launch] & (kernels.kind == RecordKind.KERNEL)
        explaining[process] = np.where(other | (kernels.correlation < 0), -1, launch)
    return explaining


def _shared(raw: Raw, launch: Ints) -> bool:
    """Whether rows of several processes are in a lane: no process explains all, or one of them too much."""
    best = launch[(launch >= 0).sum(axis=1).argmax()]
    explained = int((launch >= 0).any(axis=0).sum())
    if (best >= 0).sum() < _ALIKE * explained:
        return True
    graph = np.append(passes(raw.names, raw.launches.name, is_graph_launch), True)
    single = best[~graph[best]]
    return len(single) - len(np.unique(single)) > _TWICE * len(single)


def _row_by_row(raw: Raw, of_launch: Ids, launch: Ints, rows: Ints) -> Ids:
    """The process of each row of a shared lane: that of the nearest launch before it that explains it.

    Where there are as many rows as launches of one correlation, they follow one another in the same order.
    What no launch explains belongs to the process that has most of its stream.
    """
    start = np.append(raw.launches.start_ns, np.iinfo(np.int64).min)[launch]
    nearest = start.argmax(axis=0).astype(np.int32)
    explained = (launch >= 0).any(axis=0)
    owner = np.where(explained, nearest, np.int32(-1)).astype(np.int32)
    _in_turn(raw, of_launch, rows, owner)
    return _like_their_stream(raw.kernels.stream[rows], owner, len(launch))


def _in_turn(raw: Raw, of_launch: Ids, rows: Ints, owner: Ids) -> None:
    """Set the owners of rows whose correlation has as many launches as rows."""
    kernels, launches = raw.kernels, raw.launches
    calls = np.flatnonzero((of_launch >= 0) & (launches.correlation >= 0))
    calls = calls[np.lexsort((launches.start_ns[calls], launches.correlation[calls]))]
    mine = np.lexsort((kernels.start_ns[rows], kernels.correlation[rows]))
    keys, sizes = np.unique(launches.correlation[calls], return_counts=True)
    wanted, needed = np.unique(kernels.correlation[rows], return_counts=True)
    both, left, right = np.intersect1d(keys, wanted, return_indices=True)
    equal = both[sizes[left] == needed[right]]
    calls = calls[np.isin(launches.correlation[calls], equal)]
    mine = mine[np.isin(kernels.correlation[rows[mine]], equal)]
    good = launches.start_ns[calls] <= kernels.start_ns[rows[mine]] + _CLOCKS_NS
    owner[mine[good]] = of_launch[calls[good]]


def _like_their_stream(stream: Ints, owner: Ids, count: int) -> Ids:
    """`owner` with those that have none given to who owns most of their stream, or of all."""
    unknown = owner < 0
    if not unknown.any():
        return owner
    of_all = int(np.bincount(owner[~unknown], minlength=count).argmax())
    owner = owner.copy()
    for number in np.unique(stream[unknown]).tolist():
        here = stream == number
        votes = np.bincount(owner[here & ~unknown], minlength=count)
        owner[here & unknown] = int(votes.argmax()) if votes.any() else of_all
    return owner


def by_pid(raw: Raw) -> Bools | None:
    """Whether each row of `pids` is a process of device rows alone: nothing was kept of any host."""
    kernels = raw.kernels
    if len(raw.ops.start_ns) or len(raw.launches.start_ns) or len(np.unique(kernels.pid)) < 2:
        return None
    lanes = np.unique(kernels.pid.astype(np.int64) << 32 | kernels.device)
    if len(np.unique(lanes & 0xFFFFFFFF)) == len(lanes):
        return None  # one for each device, as the profiler itself writes it
    there: Bools = np.bincount(kernels.pid, minlength=len(raw.pids)) > 0
    return there
