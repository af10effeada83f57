"""Steps of one case: `python serve.py CASE [CHANGE ...]` runs some; `--serve` times as many as asked."""

from __future__ import annotations

import sys
import time
from statistics import median

import further_cases
import plain_cases
import transformers_cases
from case import Case, stepped

CASES: tuple[Case, ...] = (*transformers_cases.CASES, *plain_cases.CASES, *further_cases.CASES)
STEPS, WARM_UP = 14, 4


def named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def main() -> None:
    serve = "--serve" in sys.argv
    name, *changes = (word for word in sys.argv[1:] if word != "--serve")
    begin = time.perf_counter()
    step = stepped(named(name), frozenset(changes))
    for _ in range(WARM_UP if serve else STEPS):
        step()
    if not serve:
        return
    print(f"ready {time.perf_counter() - begin:.1f}", flush=True)
    for count in map(int, sys.stdin):
        times = []
        for _ in range(count + 1):
            begin = time.perf_counter()
            step()
            times.append(1000 * (time.perf_counter() - begin))
        print(f"step {median(times[1:])}", flush=True)


if __name__ == "__main__":
    main()
