"""Runs the cases once each, for a tool that counts what the hardware does: `ncu ... counted.py [FAMILY ...]`.

Before each case runs a kernel that waits, whose name tells where the next one begins. Only what lies between
the profiler's start and stop is counted, so that no preparation is.
"""

from __future__ import annotations

import sys

import torch
from cases import GPU, Case, cases

MARK = "spin_kernel"  # what torch.cuda._sleep launches


def chosen(families: list[str]) -> list[Case]:
    return [case for case in cases() if not families or case.family in families]


def main() -> None:
    for number, case in enumerate(chosen(sys.argv[1:])):
        try:
            once = case.build(GPU)
            once()  # compiles, chooses a kernel, allocates
            torch.cuda.synchronize()
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            print(f"case {number} {case.family} {case.name}: {error}", file=sys.stderr)
            once = lambda: None  # noqa: E731
        torch.cuda.profiler.start()
        torch.cuda._sleep(1)
        once()
        torch.cuda.synchronize()
        torch.cuda.profiler.stop()
        del once
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
