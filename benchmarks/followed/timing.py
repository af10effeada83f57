"""Steps timed outside the profiler: a process for each set of changes, all kept, asked in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
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

ROUNDS, ROUND_MS = 12, 400.0
MOST_S = 150.0  # of further rounds
AT_ONCE = 2  # processes that are made ready
UNSURE = 0.05  # that the median lies outside of its interval


class Timed(msgspec.Struct, frozen=True):
    """What a set of changes saved of a step, in ms, and the seconds until it was ready."""

    changes: Changes  # code that was pasted as itself
    before: float
    saved: Band
    ready_s: float


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


def timed(case: Case, exact_to: Mapping[Changes, float], tunables: str, folder: Path) -> dict[Changes, Timed]:
    """Each set of changes; those that the folder has no timings of are timed and added to it.

    `exact_to`: how wide in ms the interval of its saving is to be, where a few minutes get there.
    """
    path = folder / f"{case.name} timed.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    found = {each.changes: each for each in (msgspec.json.decode(line, type=Timed) for line in lines)}
    missing = {changes: width for changes, width in exact_to.items() if _written_out(changes) not in found}
    with path.open("ab") as file:
        for each in _measured(case, missing, tunables) if missing else ():
            file.write(msgspec.json.encode(each) + b"\n")
            found[each.changes] = each
    return {changes: found[_written_out(changes)] for changes in exact_to}


def _written_out(changes: Iterable[str]) -> Changes:
    """With the code in place of its file's name."""
    return tuple(
        PASTED + Path(change.removeprefix(PASTED)).read_text(encoding="utf-8")
        if change.startswith(PASTED)
        else change
        for change in changes
    )


def _measured(case: Case, exact_to: Mapping[Changes, float], tunables: str) -> Iterator[Timed]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        base, *served = pool.map(lambda each: Served(case, each, tunables), ((), *exact_to))
    try:
        rounds = _rounds(base, dict(zip(served, exact_to.values(), strict=True)))
    finally:
        for each in (base, *served):
            each.end()
    for changes, each in zip(exact_to, served, strict=True):
        before = median(before for before, _ in rounds[each])
        yield Timed(_written_out(changes), before, interval(rounds[each]), each.ready_s - base.ready_s)


def _rounds(base: Served, exact_to: Mapping[Served, float]) -> dict[Served, list[tuple[float, float]]]:
    """Steps before and after in turn; more of those whose interval is too wide, whatever lies in it."""
    counts = {each: max(2, ceil(ROUND_MS / each.step_ms(1))) for each in (base, *exact_to)}
    rounds: dict[Served, list[tuple[float, float]]] = {each: [] for each in exact_to}
    wanted, more_until = list(exact_to), float("inf")
    while wanted:
        before = base.step_ms(counts[base])
        for each in wanted:
            rounds[each].append((before, each.step_ms(counts[each])))
        if len(rounds[wanted[0]]) < ROUNDS:
            continue
        more_until = min(more_until, time.monotonic() + MOST_S)
        late = time.monotonic() > more_until
        wanted = [each for each in wanted if not late and _width(rounds[each]) > exact_to[each]]
    return rounds


def interval(rounds: Sequence[tuple[float, float]]) -> Band:
    """The median of what was saved, and what holds it with 95 % (sign test)."""
    saved = sorted(before - after for before, after in rounds)
    chances = accumulate(2 * comb(len(saved), below) / 2 ** len(saved) for below in range(len(saved)))
    end = max(1, sum(chance <= UNSURE for chance in chances))
    return Band(saved[end - 1], median(saved), saved[-end])


def _width(rounds: Sequence[tuple[float, float]]) -> float:
    band = interval(rounds)
    return band.high - band.low
