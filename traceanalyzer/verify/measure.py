"""Two programs timed in alternation, so that disturbances affect both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import msgspec

from traceanalyzer.verify.replay import Replay

_MIN_SPAN_S = 0.002  # of one measurement: shorter ones are run several times in a row
_TURNS, _WARM_UP = 15, 3


class Timed(msgspec.Struct, frozen=True):
    """Medians over turns, in ns per run."""

    eager_ns: float
    replacement_ns: float

    @property
    def saved_ns(self) -> float:
        """Measured; negative where the replacement is slower."""
        return self.eager_ns - self.replacement_ns


def runs_of(ns: float) -> int:
    """How often a program that takes so long is run, warming up included."""
    return _WARM_UP + 1 + _TURNS * _repeats(ns / 1e9)


def timed(eager: Replay, replacement: Replay, turns: int = _TURNS) -> Timed:
    """Both are warmed up first, which compiles what has to be compiled."""
    import torch

    with torch.no_grad():
        count = [_calls(program) for program in (eager, replacement)]
        spans: tuple[list[float], list[float]] = ([], [])
        for _ in range(turns):
            for program, calls, times in zip((eager, replacement), count, spans, strict=True):
                times.append(_once(torch, program, calls))
    return Timed(median(spans[0]) * 1e9, median(spans[1]) * 1e9)


def _calls(program: Replay) -> int:
    """Warms up; how many runs one measurement takes."""
    import torch

    for _ in range(_WARM_UP):
        program.run(*program.inputs)
    return _repeats(_once(torch, program, 1))


def _repeats(seconds: float) -> int:
    return max(1, round(_MIN_SPAN_S / max(seconds, 1e-7)))


def _once(torch: Any, program: Replay, calls: int) -> float:
    """Seconds per run."""
    wait: Callable[[], Any] = torch.cuda.synchronize if _on_gpu(program.inputs) else _nothing
    wait()
    begin = time.perf_counter()
    for _ in range(calls):
        program.run(*program.inputs)
    wait()
    return (time.perf_counter() - begin) / calls


def _nothing() -> None:
    """Work on a CPU is done when the call returns."""


def _on_gpu(inputs: Sequence[Any]) -> bool:
    return any(getattr(value, "is_cuda", False) for value in inputs)
