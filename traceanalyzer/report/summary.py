"""The figures of a report with their names and denominators: shares, parts of the window, classes, phases."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from traceanalyzer.records import Analysis, IdlePart, Verdict
from traceanalyzer.records.units import duration, no_less_than, percent, si
from traceanalyzer.report.labels import (
    CAUSE_LABELS,
    CAUSE_MEANING,
    CLASS_LABELS,
    REASON_MEANING,
    VERDICT_LABELS,
    VERDICT_MEANING,
)
from traceanalyzer.report.largest import is_open_ended
from traceanalyzer.report.sanitize import ABSENT, cut, visible
from traceanalyzer.report.sentence import is_judged, is_lower_bound, kernel_time, remedy
from traceanalyzer.report.shown import MAX_NAME, Shown, counted, per, per_step, shown

_NAMED = 3  # of what the host did, where no name has most of it
_PHASES = ("forward", "backward", "recompute", "optimizer", None)


class Fact(msgspec.Struct, frozen=True):
    """A figure with its name and what it is a figure of."""

    name: str
    text: str
    about: str = ""


class TimePart(msgspec.Struct, frozen=True):
    """One part of the window or of its idle time."""

    key: str
    label: str
    meaning: str
    time: str  # of a step where there are steps
    time_ns: int  # of the window, or of the one step that is shown
    of_busy: str
    of_window: str
    window_share: float  # 0 to 1; of the one step, where one is shown
    kernels: str
    at_roof: str  # of its time: runs at its roof


class ClassLine(msgspec.Struct, frozen=True):
    """One operator class, with its FLOPs."""

    key: str
    label: str
    flops: str
    flops_share: str
    time: str
    time_share: str


class PhaseLine(msgspec.Struct, frozen=True):
    """One phase of the step."""

    label: str
    time: str
    of_busy: str
    share: float
    memory_bound: str  # of the phase's own time
    flops: str


class ReasonLine(msgspec.Struct, frozen=True):
    """Why kernel time could not be modelled."""

    reason: str
    meaning: str
    share: str  # of kernel time that is neither communication nor copy
    time: str
    example: str
    remedy: str


def facts(analysis: Analysis) -> Iterable[Fact]:
    """The shares, each under its own name with its denominator; the first six are the headline's."""
    bound, window, figures = analysis.memory_bound, analysis.window, shown(analysis)
    busy = "of busy time" if analysis.device.kind == "gpu" else "of the CPU's time in operators"
    judged = is_judged(analysis)
    least = "≥ " if is_lower_bound(analysis) else ""
    memory_ns = figures.verdict_ns.get("memory_bound", 0)
    of_step = f" of {figures.name}" if figures.name else ""

    def bound_share(share: float) -> str:
        rounded = math.floor(round(1000 * share, 6)) / 1000 if least else share  # not rounded up
        return least + percent(rounded) if judged else "unknown"

    yield Fact("Memory-bound", bound_share(figures.share("memory_bound")), busy + of_step)
    whole = of_step or " of the window"
    yield Fact("Memory-bound", bound_share(figures.of_window(memory_ns)), f"{whole.strip()}, idle included")
    time = least + (no_less_than if least else duration)(figures.each(memory_ns))
    yield Fact("Memory-bound", time if judged else "unknown", of_step.strip() or per(analysis))
    of_all = f"{busy}, all steps" if figures.step else busy
    yield Fact(
        "Memory side",
        bound_share(bound.memory_side_share_of_busy),
        f"{of_all}, whatever the verdict: below the ridge",
    )
    yield Fact("Outside contractions", percent(bound.non_contraction_share_of_busy),
               f"{of_all}: normalization and element-wise classes")  # fmt: skip
    yield Fact("Modelled", percent(analysis.coverage.modelled_share), f"of {kernel_time(analysis)}")
    if window.step_ns is not None:
        spread = f"median; {duration(window.step_ns.min)} to {duration(window.step_ns.max)}"
        yield Fact("Step", duration(window.step_ns.median), spread)
    yield from utilization(analysis)


def utilization(analysis: Analysis) -> Iterable[Fact]:
    """The rate of all FLOPs, and how much of the peak the contractions use."""
    compute = analysis.compute
    yield Fact("Compute", si(compute.flop_per_s, "FLOP/s"), "over the window, idle included")
    if compute.mfu_share is not None and compute.peak is not None:
        peak = f"{si(compute.peak.flop_per_s, 'FLOP/s')} ({compute.peak.engine} {compute.peak.precision})"
        yield Fact("Model FLOPs utilization", percent(compute.mfu_share), f"of {peak}, over the window")
    elif compute.contraction_coverage_share:
        covered = (
            f"FLOPs of {percent(compute.contraction_coverage_share)} of the contractions' time are known"
        )
        why = covered if compute.peak else "no peak is known for what most contractions run in"
        yield Fact("Model FLOPs utilization", "unknown", why)
    if compute.recompute_share and compute.hardware_utilisation_share is not None:
        yield Fact("Hardware utilization", percent(compute.hardware_utilisation_share),
                   "of that peak, with what is recomputed")  # fmt: skip
    if compute.recompute_share:
        yield Fact("Recomputed", percent(compute.recompute_share), "of FLOPs")


def times(analysis: Analysis) -> Iterable[Fact]:
    """Times over the whole window, not per step."""
    t = analysis.time
    named = (
        ("Busy", t.busy_ns, "union of activity in the window"),
        ("Idle", t.idle_ns, "window less busy"),
        ("Sum of durations", t.kernel_sum_ns, "exceeds busy where streams overlap"),
        ("Outside the window", t.outside_window_ns, "not counted anywhere"),
        ("Hidden communication", t.hidden_communication_ns, "overlapped by compute"),
        ("Hidden copies", t.hidden_copy_ns, "overlapped by compute or communication"),
    )
    for name, ns, about in named:
        if ns:
            yield Fact(name, duration(ns), about)


def parts(analysis: Analysis) -> Iterable[TimePart]:
    """The six verdicts and idle: they add up to the window, or to the one step that is shown."""
    judged, figures = is_judged(analysis), shown(analysis)
    for p in analysis.verdicts:
        ns = figures.verdict_ns.get(p.verdict, 0)
        visible_part = judged or ns > 0 or p.verdict in ("communication", "copy")
        # Counted over all steps: of one that is not like the others it is not known.
        length = no_less_than if is_open_ended(figures, p.verdict) else duration
        kernels = ABSENT if figures.step else counted(figures.each(p.kernels))
        yield TimePart(
            key=p.verdict,
            label=VERDICT_LABELS[p.verdict],
            meaning=VERDICT_MEANING[p.verdict],
            time=length(figures.each(ns)) if visible_part else ABSENT,
            time_ns=ns,
            of_busy=percent(figures.share(p.verdict)) if visible_part else ABSENT,
            of_window=percent(figures.of_window(ns)) if visible_part else ABSENT,
            window_share=figures.of_window(ns),
            kernels=kernels if visible_part else ABSENT,
            at_roof=_at_roof(figures, p.verdict),
        )
    ns, share = figures.idle_ns, figures.of_window(figures.idle_ns)
    meaning = "nothing runs on the device" if analysis.device.kind == "gpu" else "no operator runs"
    yield TimePart("idle", "idle", meaning, duration(figures.each(ns)), ns, ABSENT, percent(share), share, "",
                   ABSENT)  # fmt: skip


def _at_roof(figures: Shown, verdict: Verdict) -> str:
    """How much of a verdict's time runs at its roof; only these two could."""
    reached, whole = figures.at_roof_ns.get(verdict), figures.verdict_ns.get(verdict, 0)
    if verdict not in ("memory_bound", "compute_bound") or reached is None or not whole:
        return ABSENT
    return percent(reached / whole)


def _names(part: IdlePart, figures: Shown) -> str:
    """What the host did in most of it; where no name has most, the largest with its time."""
    if part.main_name:
        return cut(visible(part.main_name), MAX_NAME)
    named = [
        f"{cut(visible(each.name), MAX_NAME)} {duration(figures.each(each.time_ns), 2)}"
        for each in part.names[:_NAMED]
    ]
    return f"{', '.join(named)}, and others"


def idle(analysis: Analysis) -> Iterable[TimePart]:
    """Idle time by cause, the longest first, with what the host did in most of it."""
    figures = shown(analysis)
    for part in sorted(figures.idle_by_cause, key=lambda part: -part.time_ns):
        share = figures.of_window(part.time_ns)
        if not part.time_ns:
            continue
        most = f": {_names(part, figures)}" if part.names else ""
        yield TimePart(
            part.cause, CAUSE_LABELS[part.cause], CAUSE_MEANING[part.cause] + most,
            duration(figures.each(part.time_ns)), part.time_ns, ABSENT, percent(share), share, "", ABSENT,
        )  # fmt: skip


def coverage(analysis: Analysis) -> Iterable[Fact]:
    """How much of kernel time is known, by kernel duration."""
    c = analysis.coverage
    yield Fact("modelled", percent(c.modelled_share), "FLOPs, bytes and roofs are known")
    yield Fact("linked", percent(c.linked_share), "an operator was found for the kernel")
    yield Fact("with shapes", percent(c.shaped_share), "the operator's inputs are recorded")
    yield Fact(
        "modelled of those with shapes", percent(c.modelled_of_shaped_share), "what the formulas cover"
    )


def reasons(analysis: Analysis) -> Iterable[ReasonLine]:
    """What is not modelled, largest first."""
    for r in analysis.coverage.reasons:
        yield ReasonLine(
            r.reason, REASON_MEANING[r.reason], percent(r.share), duration(per_step(analysis, r.time_ns)),
            cut(visible(r.example), 120), remedy(analysis, r.reason),
        )  # fmt: skip


def classes(analysis: Analysis) -> Iterable[ClassLine]:
    """All six operator classes."""
    for c in analysis.operator_classes:
        yield ClassLine(
            c.operator_class, CLASS_LABELS[c.operator_class],
            si(per_step(analysis, c.flops), "FLOP") if c.flops else ABSENT,
            percent(c.flops_share, 2), duration(per_step(analysis, c.time_ns)), percent(c.time_share),
        )  # fmt: skip


def phases(analysis: Analysis) -> Iterable[PhaseLine]:
    """Nothing where no phase is known."""
    busy = analysis.time.busy_ns
    if not busy or all(row.phase is None for row in analysis.op_rows):
        return
    judged = is_judged(analysis)
    for phase in _PHASES:
        members = [r for r in analysis.op_rows if r.phase == phase]
        time = sum(r.attributed_ns for r in members)
        if not members:
            continue
        bound = sum(r.attributed_ns for r in members if r.verdict == "memory_bound")
        flops = sum(r.flops or 0 for r in members)
        yield PhaseLine(
            label=phase or "none of these",
            time=duration(per_step(analysis, time)),
            of_busy=percent(time / busy),
            share=time / busy,
            memory_bound=percent(bound / time) if time and (bound or judged) else ABSENT,
            flops=si(per_step(analysis, flops), "FLOP") if flops else ABSENT,
        )
