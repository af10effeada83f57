"""A report with what it says of when: timeline, headroom, checks."""

from __future__ import annotations

import msgspec

from tests.report import example
from traceanalyzer.records import Band, Headroom, Job, RuleCheck, StepTimeline, TimelinePart
from traceanalyzer.records.memory_use import MemoryHolder, MemoryUse
from traceanalyzer.records.times import StepTime


def timed(analysis: Job | None = None) -> Job:
    """Every step in four bins, of which the last holds what the others leave."""
    analysis = analysis or example.of_two_kinds()
    assert analysis.step_rows
    now = analysis.step_rows[0].device_ns
    return msgspec.structs.replace(
        analysis,
        step_timelines=tuple(map(_entry, analysis.step_rows)),
        memory=MemoryUse(
            step=analysis.step_rows[0].name, device_bytes=80 * 2**30, before_step_bytes=10 * 2**30,
            peak_bytes=40 * 2**30, peak_at_ns=now // 2, reserved_bytes=50 * 2**30, bin_ns=-(-now // 4),
            bins=(20 * 2**30, 35 * 2**30, 40 * 2**30, 15 * 2**30), how="totals",
            holders=(
                MemoryHolder("blocks.0.mlp", "forward", "activations", 25 * 2**30),
                MemoryHolder(None, None, "before_recording", 10 * 2**30),
                MemoryHolder("head", "backward", "gradients", 5 * 2**30),
            ),
        ),
        headroom=Headroom(
            now_ns=now, proved_ns=Band(0.7 * now, 0.8 * now, 0.9 * now),
            all_ns=Band(0.5 * now, 0.6 * now, 0.9 * now), at_roofs_ns=now // 4, not_bounded_ns=now // 20,
        ),
        checks=(
            RuleCheck("launch_bound", "found"),
            RuleCheck("small_copies", "not_found"),
            RuleCheck("repeated_casts", "not_checkable", "the trace does not say which tensors are the same"),
        ),
    )  # fmt: skip


def _entry(step: StepTime) -> StepTimeline:
    """Parts one behind the other."""
    parts: list[tuple[str, str, int]] = []
    parts += [("verdict", part.verdict, part.time_ns) for part in step.verdicts if part.time_ns]
    parts += [("idle", part.cause, part.time_ns) for part in step.idle_by_cause if part.time_ns]
    width, begins, made = -(-step.device_ns // 4), 0, []
    for kind, name, time_ns in parts:
        ends = begins + time_ns
        times = (max(0, min(ends, (at + 1) * width) - max(begins, at * width)) for at in range(4))
        made.append(TimelinePart(kind, name, tuple(times)))  # type: ignore[arg-type]
        begins = ends
    return StepTimeline(
        step=step.name, bin_ns=width, parts=tuple(made), phase=("forward", "backward", "optimizer", None)
    )
