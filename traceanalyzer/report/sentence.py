"""The verdict in sentences: the memory-bound share, its denominator, and what is unknown.

A lower bound is called one, an unknown share is not given, and where the GPU is mostly idle that comes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from traceanalyzer.records import Analysis, Verdict, ranks_of
from traceanalyzer.records.units import duration, no_less_than, percent, si, whole_percent
from traceanalyzer.records.vocabulary import LEAST_MODELLED
from traceanalyzer.report.change_words import change_sentences
from traceanalyzer.report.jobs import job_sentences, place_of
from traceanalyzer.report.labels import REASON_MEANING, REASON_REMEDY, VERDICT_LABELS
from traceanalyzer.report.largest import (
    EXACT,
    TOO_MUCH_ABOVE,
    above_roofs_share,
    largest_parts,
    largest_verdict,
    limited_by_nothing,
    lower_bound,
    names_verdict,
)
from traceanalyzer.report.sanitize import visible
from traceanalyzer.report.shown import Shown, is_of_the_host, per_step, rows_heading, shown
from traceanalyzer.report.unpriced import leads_unjudged, unpriced
from traceanalyzer.report.waits import about_time, compiled_code, idle_and_busy, longest, share_of_window

_INTERVAL = 0.25  # of busy time not modelled: above it, a lower bound alone would mislead
_REPORTED_SHARE = 0.01
_BELOW = "a better kernel, layout or alignment could win that back, not only fewer bytes"
_BULK = 0.5  # of the time of linked kernels: if so much has shapes, they were asked for
_OF_INPUTS = {  # what helps where shapes were asked for
    "no_shapes": "shapes were recorded; the profiler may write none of lists of tensors, autograd nodes and "
    "hand-written kernels",
    "no_concrete_inputs": "record with a newer PyTorch",
}
_WITHOUT_HOST = ("no_correlation", "no_op")  # reasons that a recording without CPU activity has

# Verdicts that lead whatever is known of the rest.
_LEADS: tuple[Verdict, ...] = ("latency_bound", "communication", "copy")


class Headline(msgspec.Struct, frozen=True):
    """`lead`: the largest parts of the step; `more`: what is known of them; `changes`: what would save time.

    `notes`: further facts.
    """

    lead: str
    more: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def verdict_sentence(analysis: Analysis) -> str:
    """One or a few sentences: the headline without its notes."""
    words = headline(analysis)
    return " ".join((words.lead, *words.more, *words.changes))


_FIRST = "Find what slows everything first (far_below_roofs): until then faster kernels may save nothing."


def headline(analysis: Analysis) -> Headline:
    """The verdict in words, for every state an analysis can be in."""
    notes, figures = _notes(analysis), shown(analysis)
    if _warned(analysis, "counters_without_times"):
        return _counted(analysis)
    if is_of_the_host(analysis):
        return _without_device(analysis)
    if not figures.busy_ns:
        where = figures.name or ("the window" if figures.step_count else "the trace")
        nothing = _with_rank(analysis, f"The {_device(analysis)} did no work in {where}.")
        return Headline(nothing, tuple(longest(figures)), notes=notes)
    lead, *more = [*_leading(analysis, figures), *_far_below(analysis, figures), *_memory(analysis, figures)]
    sentences = [
        lead,
        *_unjudged(analysis, figures),
        *_without_advice(analysis, figures),
        *about_time(figures, analysis.step_rows or ()),
        *idle_and_busy(figures, analysis.device.kind),
        *more,
        *_other_facts(analysis, figures),
        *_roofs_too_low(analysis),
    ]
    if _warned(analysis, "gpu_not_captured"):
        sentences.insert(0, "The trace lists a GPU but holds none of its work: this is the CPU side.")
    first = (_FIRST,) if limited_by_nothing(analysis, figures) else ()
    changes = (*first, *change_sentences(analysis))
    return Headline(_with_rank(analysis, sentences[0]), tuple(sentences[1:]), changes, notes)


def _unjudged(analysis: Analysis, figures: Shown) -> list[str]:
    """Where the first line is about what could not be judged: what that is, and what helps."""
    if not (is_judged(analysis) and leads_unjudged(figures)):
        return []
    return unpriced(analysis, figures, _main_remedy(analysis))


def _without_advice(analysis: Analysis, figures: Shown) -> list[str]:
    """What a wait for compiled code is, where no change says so."""
    listed = any(each.rule == "compiled_launches" for each in analysis.suggestions or ())
    return [] if listed else compiled_code(figures)


def _without_device(analysis: Analysis) -> Headline:
    """Of a recording without the activity of the device that worked: no share of the host's time either."""
    lead = "A device worked and its activity is not in the trace: how long anything took there is not known."
    messages = [
        w.message for w in analysis.source.warnings if w.code in ("gpu_not_captured", "device_rows_unread")
    ]
    causes = [f"{message[0].upper()}{message[1:]}." for message in messages]
    host = "What is listed is the time of the host, which prepared and launched the work."
    return Headline(_with_rank(analysis, lead), (*causes, host), (), _notes(analysis))


def _counted(analysis: Analysis) -> Headline:
    """Of a recording of hardware counters: bytes, and no share of any time."""
    rows = [row for row in analysis.op_rows if row.counter_bytes is not None]
    kernels, counted = (sum(row.kernels for row in some) for some in (analysis.op_rows, rows))
    moved = si(sum(row.counter_bytes or 0 for row in rows), "B")
    bytes_moved = f"They moved {moved}."
    if counted < kernels:
        bytes_moved = f"{counted:,} of them moved {moved}; the bytes of the others are not known."
    lead = (
        f"This recording has hardware counters of {kernels:,} kernels and no times: what takes how long is "
        "not known."
    )
    return Headline(_with_rank(analysis, lead), (bytes_moved,) if kernels else (), notes=_notes(analysis))


def remedy(analysis: Analysis, reason: str) -> str:
    """What a user can do about `reason`, or nothing."""
    if reason == "no_device" and analysis.device.kind == "cpu":
        return (
            "give the recording machine's figures: --bandwidth 50GB/s --peak fp32=2T, or the --device-file "
            "that `traceanalyze calibrate` writes there"
        )
    if reason == "no_peak" and analysis.device.bandwidth_bytes_per_s is None:
        return "give --bandwidth BYTES (such as --bandwidth 3.35TB/s) or --device-file F.toml"
    if reason in _WITHOUT_HOST and _host_recorded(analysis):
        return ""
    if reason in _OF_INPUTS and _shapes_recorded(analysis):
        return _OF_INPUTS[reason]
    if reason == "no_shapes":
        return "record with record_shapes=True"
    return next((text for other, text in REASON_REMEDY.items() if other == reason), "")


def _shapes_recorded(analysis: Analysis) -> bool:
    """Whether they were asked for: by our own collector they are, and else the bulk would have none."""
    coverage = analysis.coverage
    return analysis.recording is not None or coverage.shaped_share >= _BULK * coverage.linked_share > 0


def _host_recorded(analysis: Analysis) -> bool:
    """Whether CPU activity is in the trace: to record it, too, would not help what is not linked."""
    notices = analysis.source.warnings
    return analysis.coverage.linked_share > 0 or any(w.code == "operators_unlinked" for w in notices)


def kernel_time(analysis: Analysis) -> str:
    """What coverage is a share of: on a CPU the self times of operators stand for kernels."""
    return "kernel time" if analysis.device.kind == "gpu" else "operator time"


def _device(analysis: Analysis) -> str:
    return analysis.device.kind.upper()


def _busy_time(analysis: Analysis) -> str:
    if is_of_the_host(analysis):
        return "the host's time in operators"
    return "the GPU's busy time" if analysis.device.kind == "gpu" else "the CPU's time in operators"


def is_lower_bound(analysis: Analysis) -> bool:
    """Whether more may be memory-bound than is known to be."""
    return shown(analysis).share("unmodelled") >= EXACT


def is_judged(analysis: Analysis) -> bool:
    """Whether enough is modelled to say anything, or there is nothing to model."""
    enough = analysis.coverage.modelled_share >= LEAST_MODELLED
    return enough or not shown(analysis).verdict_ns.get("unmodelled")


def _leading(analysis: Analysis, figures: Shown) -> list[str]:
    """The largest parts, unless nothing can be said of what runs or no roof limits any of it."""
    known = is_judged(analysis) and not limited_by_nothing(analysis, figures)
    if known or figures.mostly_idle or largest_verdict(figures) in _LEADS:
        return [largest_parts(analysis, figures)]
    return []


def _far_below(analysis: Analysis, figures: Shown) -> list[str]:
    """That neither roof limits anything, where all stays at a few per cent of them."""
    if not limited_by_nothing(analysis, figures):
        return []
    where = f" in the step {figures.name}" if figures.name else ""
    what = "what runs" if figures.share("unmodelled") < _INTERVAL else "what could be judged"
    reached = "large kernels reach a few per cent of theirs (see far_below_roofs)"
    return [f"No roof limits {what}{where}: {reached}."]


def _memory(analysis: Analysis, figures: Shown) -> list[str]:
    """The memory-bound share as exactly as it is known, and why not better."""
    if not is_judged(analysis):
        return _unknown_share(analysis)
    memory_share, open_ = figures.share("memory_bound"), figures.share("unmodelled")
    amount = figures.amount(figures.verdict_ns.get("memory_bound", 0))
    spent = f"of {_busy_time(analysis)} is memory-bound"
    if not is_lower_bound(analysis):
        if not memory_share:
            return [f"None {spent}."]
        return [_with_parts(f"{whole_percent(memory_share)} {spent}", amount, figures)]
    amount = figures.amount(figures.verdict_ns.get("memory_bound", 0), at_least=True)
    # Rounded first: 100 * 0.29 is 28.999999999999996.
    least = f"{math.floor(round(100 * memory_share, 9))} %"
    most = f"{math.ceil(round(100 * min(memory_share + open_, 1.0), 9))} %"
    why = f"{whole_percent(open_)} of that time could not be judged ({_main_reason(analysis)})"
    if open_ < _INTERVAL and memory_share >= _REPORTED_SHARE:
        begin = lower_bound(analysis, whole=True)
        share = _with_parts(f"{begin} {least} {spent}", amount, figures, no_less_than)
        return [share, f"A further {why}."]
    help_ = "" if leads_unjudged(figures) else _main_remedy(analysis)
    between = f"Between {least} and {most}" if memory_share >= _REPORTED_SHARE else f"At most {most}"
    at_least = f"at least {amount}" if memory_share >= _REPORTED_SHARE else ""
    return [
        _with_parts(f"{between} {spent}", at_least, figures, no_less_than),
        f"{why}{f': {help_}' if help_ else ''}.",
    ]


def _in_two_digits(ns: float) -> str:
    return duration(ns, 2)


def _with_parts(
    spent: str, amount: str, figures: Shown, shown_time: Callable[[float], str] = _in_two_digits
) -> str:
    """The sentence of the memory-bound share: how much of that time runs at the memory roof."""
    whole, reached = figures.verdict_ns.get("memory_bound", 0), figures.at_roof_ns.get("memory_bound")
    amount = f": {amount}" if amount else ""
    if reached is None or not whole:
        return f"{spent}{amount}."
    at, below = (shown_time(figures.each(ns)) for ns in (reached, whole - reached))
    if whole - reached < _REPORTED_SHARE * whole:
        return f"{spent}, all of it at the memory roof{amount}."
    if whole - reached < reached:
        parts = f"{at} of it at the memory roof, {below} far below it"
        return f"{spent}{amount}, {parts}." if amount else f"{spent}: {parts}."
    far = (
        f"most of it far below the memory roof ({at} at it)"
        if reached
        else "all of it far below the memory roof"
    )
    return f"{spent}{amount}, {far}: {_BELOW}."


def _main_reason(analysis: Analysis) -> str:
    reasons = analysis.coverage.reasons
    if not reasons:
        return "no reason recorded"
    mostly = "mostly: " if len(reasons) > 1 else ""
    return mostly + REASON_MEANING[reasons[0].reason]


def _main_remedy(analysis: Analysis) -> str:
    """What helps against the reason that most of that time has."""
    reasons = analysis.coverage.reasons
    return remedy(analysis, reasons[0].reason) if reasons else ""


def _unknown_share(analysis: Analysis) -> list[str]:
    """Why there is no share at all, and the option that would help."""
    device, reasons = analysis.device, analysis.coverage.reasons
    reason = reasons[0].reason if reasons else "no_device"
    why = REASON_MEANING[reason]
    if reason == "no_device" and device.kind == "cpu":
        why = "the CPU's roofs were not measured"
    elif reason == "no_device":
        why = (f"the device table does not hold “{visible(device.name)}”" if device.name
               else "the trace does not name the GPU")  # fmt: skip
    elif reason == "no_peak" and device.bandwidth_bytes_per_s is None:
        why = f"the memory bandwidth of {visible(device.name or device.id)} is unknown"
    help_ = remedy(analysis, reason)
    fix = [f"{help_[0].upper()}{help_[1:]}."] if help_ else []
    return [f"How much of {_busy_time(analysis)} is memory-bound is unknown: {why}.", *fix]


def _other_facts(analysis: Analysis, figures: Shown) -> list[str]:
    """Without verdicts: the times and classes that hold all the same. With them: the largest part."""
    if is_judged(analysis):
        largest, bare = largest_verdict(figures), limited_by_nothing(analysis, figures)
        already = largest in _LEADS or not bare
        if (names_verdict(analysis, figures) and already) or largest in ("memory_bound", "unmodelled"):
            return []
        part = f"The largest part, {whole_percent(figures.share(largest))},"
        if largest == "compute_bound" and bare:
            return [f"{part} is on the side of arithmetic."]
        return [f"{part} is {VERDICT_LABELS[largest]}."]
    sentences = []
    if not figures.mostly_idle:
        share = share_of_window(figures, figures.busy_ns)
        sentences.append(f"The {_device(analysis)} is busy {share}: {figures.amount(figures.busy_ns)}.")
    outside = analysis.memory_bound.non_contraction_share_of_busy
    if outside:
        sentences.append(
            f"By their names, normalization and element-wise operators take {whole_percent(outside)} of "
            f"{_busy_time(analysis)}; that is a class, not a limit."
        )
    return sentences


def _roofs_too_low(analysis: Analysis) -> list[str]:
    """That too much exceeds its roof for the verdicts to be trusted."""
    share = above_roofs_share(analysis)
    if share <= TOO_MUCH_ABOVE:
        return []
    which = "measured here" if analysis.device.how == "calibrated" else "used"
    much = f"{whole_percent(share)} of {_busy_time(analysis)} exceeds its roof"
    return [f"{much}: the roofs {which} are too low, and the verdicts may change with better ones."]


def _with_rank(analysis: Analysis, sentence: str) -> str:
    """Which device of several it is about."""
    where = which(analysis)
    if not where:
        return sentence
    begin = sentence[0].lower() if sentence[:2] != "No" else sentence[0]
    return f"On {place_of(analysis, where)}: {begin}{sentence[1:]}"


def which(analysis: Analysis) -> str:
    """`rank 3`, `GPU 1`, `rank 3, GPU 1`, or the file, where there are several; else nothing."""
    ranks = ranks_of(analysis)
    if len(ranks) < 2:
        return ""
    file = analysis.source.files[0]
    parts = []
    if file.rank is not None and len({r.rank for r in ranks}) > 1:
        parts.append(f"rank {file.rank}")
    if file.device_index is not None and len({r.device_index for r in ranks}) > 1:
        parts.append(f"{_device(analysis)} {file.device_index}")
    return ", ".join(parts) or visible(file.path.replace("\\", "/").rsplit("/", 1)[-1])


def _warned(analysis: Analysis, code: str) -> bool:
    return any(w.code == code for w in analysis.source.warnings)


def _over(analysis: Analysis) -> str:
    heading = rows_heading(analysis)
    return {"per step": "per step ", "time": ""}.get(heading, f"in {heading} ")


def _utilization(analysis: Analysis) -> list[str]:
    """Model FLOPs utilization with its peak and what is left out, where it is known."""
    compute, peak = analysis.compute, analysis.compute.peak
    if compute.mfu_share is None or peak is None:
        return []
    rate, best = si(compute.contraction_flop_per_s, "FLOP/s"), si(peak.flop_per_s, "FLOP/s")
    again = compute.recompute_share
    left_out = (
        f", without recomputation ({whole_percent(again)} of FLOPs)" if again >= _REPORTED_SHARE else ""
    )
    share = f"MFU {percent(compute.mfu_share)}: {rate} of contractions{left_out}"
    return [f"{share}, of a peak of {best} ({visible(peak.precision)})."]


def _notes(analysis: Analysis) -> tuple[str, ...]:
    """What is true beside the headline and would change how it is read."""
    time, sentences = analysis.time, [*job_sentences(analysis), *_utilization(analysis)]
    everything = time.busy_ns + time.outside_window_ns
    if time.outside_window_ns > _REPORTED_SHARE * everything:
        share = whole_percent(time.outside_window_ns / everything)
        whole = "the trace's busy time" if analysis.device.kind == "gpu" else "the time in all its operators"
        sentences.append(
            f"{duration(time.outside_window_ns)} of activity, {share} of {whole}, lies outside the window."
        )
    if time.hidden_communication_ns > _REPORTED_SHARE * time.busy_ns > 0:
        sentences.append(
            f"A further {duration(per_step(analysis, time.hidden_communication_ns))} of communication "
            f"{_over(analysis)}is hidden behind compute."
        )
    if analysis.source.salvaged is not None:
        lost = analysis.source.salvaged
        cut_off = any(notice.code == "truncated" for notice in analysis.source.warnings)
        rest = f"{lost.dropped_events:,} lost{', and all behind them are missing' if cut_off else ''}"
        sentences.append(f"The file is damaged: {lost.kept_events:,} events were kept, {rest}.")
    return tuple(sentences)
