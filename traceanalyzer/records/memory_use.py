"""Memory of the device over one step, as the profiler's memory rows tell it."""

from __future__ import annotations

from typing import Literal

import msgspec

from traceanalyzer.records.vocabulary import Phase

HeldKind = Literal["activations", "gradients", "optimizer_state", "temporary", "before_recording"]
"""What memory is for, where its phase and its lifetime tell. Parameters are among what was there before."""


class MemoryHolder(msgspec.Struct, frozen=True):
    """What holds memory at the peak: all that was allocated in one module, one phase, for one purpose."""

    module: str | None
    phase: Phase | None
    kind: HeldKind | None
    bytes: int


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """Over one step on the host's clock, which is when the allocator hands memory out; or over the trace."""

    step: str | None  # None: the trace, which names no steps
    device_bytes: int | None  # that it has
    before_step_bytes: int  # in use when the step began
    peak_bytes: int
    peak_at_ns: int  # from the step's start
    reserved_bytes: int | None  # at most, by the allocator from the driver
    bin_ns: int
    bins: tuple[int, ...]  # the most in use in each bin
    holders: tuple[MemoryHolder, ...]  # at the peak, largest first; they add up to it, but for how == "rows"
    how: Literal["totals", "since_recording", "rows"]
    """`totals`: the allocator's own. `since_recording`: a CPU's, without what was there when it began.
    `rows`: what the rows add and free, above the least that this leaves in use."""
