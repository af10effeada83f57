"""The schedule of a capture, in steps, and what is recorded of each step."""

from __future__ import annotations

import msgspec

LONGEST_WAIT = 20  # further steps while code is still being compiled
LONGEST_CAPTURE_NS = 120 * 10**9  # steps in progress are finished; more events would not fit into memory


class Schedule(msgspec.Struct, frozen=True):
    """`wait` steps run as they are, `warmup` steps with the profiler warming up, `active` are recorded."""

    wait: int = 3
    warmup: int = 2
    active: int = 3
    stack: bool = False
    memory: bool = True
    evidence: bool = True
    counters: bool = False

    @property
    def steps(self) -> int:
        """Steps that must end before all is captured."""
        return self.wait + self.warmup + self.active

    @property
    def alone(self) -> Schedule:
        """Without the recordings behind the captured steps."""
        return msgspec.structs.replace(self, evidence=False, counters=False)

    def within(self, steps: int) -> Schedule | None:
        """The longest schedule that a run of `steps` steps completes; None below 2 steps."""
        if steps < 2:
            return None
        wait = max(1, min(self.wait, steps - 1 - self.warmup, steps // 3))
        active = max(1, min(self.active, steps - wait))
        warmup = max(0, min(self.warmup, steps - wait - active))
        return Schedule(wait, warmup, active, self.stack, self.memory, self.evidence, self.counters)
