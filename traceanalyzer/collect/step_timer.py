"""How long steps take without the profiler."""

from __future__ import annotations

from time import perf_counter_ns

from traceanalyzer.collect.accelerator import in_use, synchronize
from traceanalyzer.collect.process_use import ProcessUse
from traceanalyzer.collect.step_sizes import StepSizes


class StepTimer:
    """Times of steps in ns. On an accelerator, which lags behind the script, several steps are timed together
    between two synchronizations, and each gets an equal part.
    """

    def __init__(self) -> None:
        self.ns: list[int] = []
        self.used: list[ProcessUse] = []  # by the host, of the same steps
        self.sizes: list[StepSizes | None] = []  # of the same; None where steps of several sizes share a time
        self._pending: list[
            tuple[ProcessUse, StepSizes]
        ] = []  # of the stretch in progress, on an accelerator
        self._since: int | None = None
        self._trimmed = False

    def begin_after_capture(self) -> None:
        """As `begin`; but the end of a capture gave memory back, which the next step faults in again."""
        self.begin()
        self._trimmed = True

    def begin(self) -> None:
        """A stretch begins; one that was not ended does not count."""
        synchronize()
        self._since, self._pending = perf_counter_ns(), []

    def step(self, took: ProcessUse, sizes: StepSizes) -> None:
        """A step has ended that took so much of the host."""
        if self._since is None:
            return
        if self._trimmed:  # its page faults are not the script's
            took, self._trimmed = ProcessUse(took.ns), False
        if in_use() is None:
            self.ns.append(took.ns)
            self.used.append(took)
            self.sizes.append(sizes)
        else:
            self._pending.append((took, sizes))

    def end(self) -> None:
        """Wait for the device, and give each step its share of the time until now."""
        if self._since is not None and self._pending:
            synchronize()
            count = len(self._pending)
            self.ns += [(perf_counter_ns() - self._since) // count] * count
            self.used += [took for took, _ in self._pending]
            first = self._pending[0][1]
            same = all(first.alike(sizes) for _, sizes in self._pending)
            self.sizes += [first if same else None] * count
        self._since, self._pending = None, []
