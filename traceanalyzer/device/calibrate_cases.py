"""A function to time again and again, and the best rate of it: what all calibration is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

Once = Callable[[Callable[[], object]], float]  # runs a function; the seconds it took

_TURN_S = 0.02  # short cases run more than once a turn: they fit between disturbances
DTYPES = {"fp32": "float32", "tf32": "float32", "fp64": "float64", "bf16": "bfloat16", "fp16": "float16"}


class Case(msgspec.Struct, frozen=True):
    """A function to time, and the bytes or FLOPs of one call."""

    what: str
    amount: float
    run: Callable[[], object]


class Rate(msgspec.Struct, frozen=True):
    """The best rate of a case, in bytes or FLOPs per second."""

    what: str
    per_s: float


def on_cpu(function: Callable[[], object]) -> float:
    """Seconds by the clock; CPU ops are done when they return."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rates(cases: Sequence[Case], once: Once, seconds: float) -> tuple[Rate, ...]:
    """The best of each, fastest first: noise only slows down.

    In rounds over all, since the noise of a shared machine may outlast the turn of one.
    """
    best = [float("inf")] * len(cases)
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 1 or time.perf_counter() < end:
        best = [min(took, turn(case, once)) for took, case in zip(best, cases, strict=True)]
        rounds += 1
    done = zip(cases, best, strict=True)
    measured = (Rate(case.what, float(f"{case.amount / took:.4g}")) for case, took in done)
    return tuple(sorted(measured, key=lambda rate: -rate.per_s))


def turn(case: Case, once: Once) -> float:
    """The best of as many runs as fit into a turn, in seconds."""
    end = time.perf_counter() + _TURN_S
    best = once(case.run)
    while time.perf_counter() + best < end:
        best = min(best, once(case.run))
    return best
