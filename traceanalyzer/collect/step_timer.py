"""How long steps take without the profiler."""

from __future__ import annotations

from time import perf_counter_ns

from traceanalyzer.collect.accelerator import in_use, synchronize


class StepTimer:
    """Times of steps in ns. On an accelerator, which lags behind the script, several steps are timed together
    between two synchronizations, and each gets an equal part.
    """

    def __init__(self) -> None:
        self.ns: list[int] = []
        self._since: int | None = None
        self._steps = 0

    def begin(self) -> None:
        """A stretch begins; one that was not ended does not count."""
        synchronize()
        self._since, self._steps = perf_counter_ns(), 0

    def step(self, took_ns: int) -> None:
        """A step has ended that took so long for the host."""
        if self._since is None:
            return
        if in_use() is None:
            self.ns.append(took_ns)
        else:
            self._steps += 1

    def end(self) -> None:
        """Wait for the device, and give each step its share of the time until now."""
        if self._since is not None and self._steps:
            synchronize()
            self.ns += [(perf_counter_ns() - self._since) // self._steps] * self._steps
        self._since, self._steps = None, 0
