"""Steps timed outside the profiler: processes for each set of changes, all kept, asked in turn.

Two processes of one script differ by some per cent of a step on a CPU, for glibc's heap keeps other pages in
each. What is no larger is held between the processes of several runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from math import ceil, comb
from pathlib import Path
from statistics import median

import msgspec
from case import PASTED, Case

from traceanalyzer.records import Band

Changes = tuple[str, ...]
Key = tuple[Changes, int, str]

ROUNDS, ROUND_MS = 12, 400.0
AT_ONCE = 2  # processes that are made ready
UNSURE = 0.05  # that the median lies outside of its interval


class Timed(msgspec.Struct, frozen=True):
    """What a set of changes saved of a step, in ms, and the seconds until it was ready."""

    changes: Changes  # code that was pasted as itself
    processes: int
    tunables: str  # of glibc, where pages are kept
    before: float
    saved: Band
    ready_s: float

    @property
    def key(self) -> Key:
        return self.changes, self.processes, self.tunables


class Served:
    """A process that runs steps of a case with some changes when asked."""

    def __init__(self, case: Case, changes: Sequence[str], tunables: str) -> None:
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        if "kept_pages" in changes:
            environment["GLIBC_TUNABLES"] = tunables
        serve = Path(__file__).with_name("serve.py")
        self.command = [sys.executable, str(serve), "--serve", case.name, *changes]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment,
        )  # fmt: skip
        self.ready_s = self._said("ready")

    def step_ms(self, steps: int) -> float:
        assert self.process.stdin
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self._said("step")

    def _said(self, word: str) -> float:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(word):
                return float(line.split()[1])
        raise ChildProcessError(f"{self.command}: ended with {self.process.wait()}")

    def end(self) -> None:
        self.process.communicate("")


def timed(case: Case, processes: Mapping[Changes, int], tunables: str, folder: Path) -> dict[Changes, Timed]:
    """Each set of changes, in so many processes; those that the folder has no timings of are added to it."""
    path = folder / f"{case.name} timed.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    kept = {each.key: each for each in (msgspec.json.decode(line, type=Timed) for line in lines)}
    keys = {changes: _key(changes, count, tunables) for changes, count in processes.items()}
    missing = {changes: count for changes, count in processes.items() if keys[changes] not in kept}
    with path.open("ab") as file:
        for each in _measured(case, missing, tunables) if missing else ():
            file.write(msgspec.json.encode(each) + b"\n")
            kept[each.key] = each
    return {changes: kept[key] for changes, key in keys.items()}


def _key(changes: Changes, count: int, tunables: str) -> Key:
    return _written_out(changes), count, tunables if "kept_pages" in changes else ""


def _written_out(changes: Iterable[str]) -> Changes:
    """With the code in place of its file's name."""
    return tuple(
        PASTED + Path(change.removeprefix(PASTED)).read_text(encoding="utf-8")
        if change.startswith(PASTED)
        else change
        for change in changes
    )


def _measured(case: Case, processes: Mapping[Changes, int], tunables: str) -> Iterator[Timed]:
    sets = [changes for changes, count in processes.items() for _ in range(count)]
    bases: list[Changes] = [()] * max(processes.values())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        served = list(pool.map(lambda changes: Served(case, changes, tunables), (*bases, *sets)))
    try:
        counts = [max(2, ceil(ROUND_MS / each.step_ms(1))) for each in served]
        rounds = [[each.step_ms(n) for each, n in zip(served, counts, strict=True)] for _ in range(ROUNDS)]
    finally:
        for each in served:
            each.end()
    times = list(zip(*rounds, strict=True))
    for changes, count in processes.items():
        first = len(bases) + sets.index(changes)
        before, after = times[: len(bases)][:count], times[first : first + count]
        ready_s = served[first].ready_s - served[0].ready_s
        key = _key(changes, count, tunables)
        yield Timed(*key, median(map(median, before)), _saved(before, after), ready_s)


def _saved(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> Band:
    """By rounds of one process each; between the medians of several."""
    if len(before) == 1:
        return interval([one - other for one, other in zip(*before, *after, strict=True)])
    before_ms, after_ms = sorted(map(median, before)), sorted(map(median, after))
    saved = median(before_ms) - median(after_ms)
    return Band(before_ms[0] - after_ms[-1], saved, before_ms[-1] - after_ms[0])


def interval(saved: Sequence[float]) -> Band:
    """The median, and what holds it with 95 % (sign test)."""
    ordered = sorted(saved)
    chances = accumulate(2 * comb(len(saved), below) / 2 ** len(saved) for below in range(len(saved)))
    end = max(1, sum(chance <= UNSURE for chance in chances))
    return Band(ordered[end - 1], median(ordered), ordered[-end])
