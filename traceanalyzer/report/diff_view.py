"""What a comparison shows, as finished text: one DiffView of one Comparison, for all formats for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import msgspec

from traceanalyzer.records import Comparison, IdleCause, OpChange, SideInfo, SideRow
from traceanalyzer.records.units import canonical_dtype, digits, duration, percent, si
from traceanalyzer.report.labels import CAUSE_LABELS, VERDICT_LABELS
from traceanalyzer.report.sanitize import ABSENT, TEXT, cut, visible
from traceanalyzer.report.warning_texts import warning_line

_NAME = 60
_INPUTS = 80
_LARGEST = re.compile(
    r" (?:Advised only in the (?:head|base): .*\. )?"
    r"(?:The largest single (?:change|increase|decrease)(?: with a name)?"
    r"(?: beyond the noise of runs| beyond what unchanged operators drift by)?"
    r"|Of what is new, gone or replaced the largest) is "
)
_MATCHES = {"matched": "", "appeared": "new", "vanished": "gone"}


class ChangeLine(msgspec.Struct, frozen=True):
    """One quantity on both sides."""

    key: str
    label: str
    base: str
    head: str
    change: str
    share: str  # of the base's mean step; of a time of the step itself, of its own base
    base_ns: int
    head_ns: int


class OpChangeLine(msgspec.Struct, frozen=True):
    """One entry of the comparison's operators."""

    name: str
    inputs: str
    where: str  # phase, module
    what: str  # "3 → 1 fused"; nothing where it is the same operator
    evidence: str
    base: str
    head: str
    change: str
    change_ns: int
    parts: tuple[tuple[str, str, str, str], ...]  # (side, operator, inputs, time) of each row


class DiffView(msgspec.Struct, frozen=True):
    """Every text of a comparison."""

    sentence: str  # `lead` and `more`
    lead: str
    more: str  # the largest change
    sides: tuple[tuple[str, str], ...]  # ("base", "a.json, b.json: 2 runs, 10 steps on NVIDIA H100")
    reasons: tuple[str, ...]  # what is not the same
    notes: tuple[str, ...]
    whole: tuple[ChangeLine, ...]  # step, window, busy, idle
    verdicts: tuple[ChangeLine, ...]
    causes: tuple[ChangeLine, ...]
    ops: tuple[OpChangeLine, ...]
    hidden: int  # entries that are not among `ops`
    hidden_change: str
    drift: str  # what is within noise, in one line; nothing where nothing is
    apart: bool  # the recordings do not compare: differences are no changes


def diff_view(comparison: Comparison, top: int) -> DiffView:
    """With the `top` largest changes of operators."""
    changed = [op for op in comparison.ops if not op.within_noise]
    shown, rest = changed[:top], changed[top:]
    window = comparison.window_ns.base
    sentence = visible(comparison.sentence)
    largest = _LARGEST.search(sentence)
    lead = sentence[: largest.start()] if largest else sentence
    return DiffView(
        sentence=sentence, lead=lead, more=sentence[len(lead) :].strip(),
        sides=tuple(_sides(comparison)),
        reasons=tuple(visible(reason.message) for reason in comparison.same_work.reasons),
        notes=tuple(_notes(comparison)),
        whole=tuple(_whole(comparison)),
        verdicts=tuple(
            _line(v.verdict, VERDICT_LABELS[v.verdict], v.base, v.head, window)
            for v in comparison.verdicts if v.base or v.head
        ),
        causes=tuple(
            _line(c.cause, _cause(c.cause), c.base, c.head, window)
            for c in sorted(comparison.idle_by_cause, key=lambda c: -abs(c.change)) if c.base or c.head
        ),
        ops=tuple(map(_op, shown)), hidden=len(rest),
        hidden_change=signed(sum(op.change_ns for op in rest)), drift=_drift(comparison),
        apart=comparison.recorded_apart is not None,
    )  # fmt: skip


def _drift(comparison: Comparison) -> str:
    """`93 operators that are the same on both sides drifted by 0.95 to 1.04 times: -3.2 ms together.`"""
    within = [op for op in comparison.ops if op.within_noise]
    if not within:
        return ""
    many = f"{len(within):,} other operators" if len(within) > 1 else "1 other operator"
    change, drift = signed(sum(op.change_ns for op in within)), comparison.drift
    if drift is None:
        return f"{many} changed by no more than runs differ: {change} together."
    return (
        f"{many}, the same on both sides, drifted by {change} together: {digits(drift.low)} to "
        f"{digits(drift.high)} times as long, {digits(drift.ratio)} in the median. None of them "
        "stands out as a cause."
    )


def _cause(cause: IdleCause) -> str:
    return "idle, cause unknown" if cause == "unknown" else CAUSE_LABELS[cause]


def whole_of(comparison: Comparison, step: str = "step") -> str:
    """What times are of: `step`, `trace`, or either where only one side has steps."""
    counted = [bool(side.step_count) for side in (comparison.base, comparison.head)]
    return step if all(counted) else f"{step} or trace" if any(counted) else "trace"


def signed(ns: float, unit: str = "") -> str:
    """`+3.2 ms`; `±0 ns` for nothing."""
    if not ns:
        return f"±0 {unit or 'ns'}"
    text = si(abs(ns), unit) if unit else duration(abs(ns))
    return f"{'-' if ns < 0 else '+'}{text}"


def _sides(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Files by their names; where the sides share one, by as much of the path as tells them apart."""
    sides = (comparison.base, comparison.head)
    paths = [{PurePath(file.path).parts for file in side.files} for side in sides]
    depths = range(1, 1 + max(len(parts) for side in paths for parts in side))
    apart = (depth for depth in depths if not {p[-depth:] for p in paths[0]} & {p[-depth:] for p in paths[1]})
    depth = next(apart, 1)
    for name, side in zip(("base", "head"), sides, strict=True):
        yield name, _side(side, depth)


def _side(side: SideInfo, depth: int) -> str:
    names = ["/".join(PurePath(file.path).parts[-depth:]) or file.path for file in side.files]
    files = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    count = side.step_count
    steps = "without steps" if count is None else f"{count} step{'s' if count != 1 else ''}"
    runs = f"{side.runs} run{'s' if side.runs > 1 else ''}, {steps}"
    ranks = {file.rank for file in side.files if file.rank is not None}
    rank = f", rank {', '.join(map(str, sorted(ranks)))}" if ranks else ""
    return visible(f"{files}: {runs}{rank} on {side.device.name or 'an unknown device'}")


def _whole(comparison: Comparison) -> Iterator[ChangeLine]:
    step, window = comparison.step_ns, comparison.window_ns
    plain = comparison.unprofiled_step_ns
    without = (
        [_line("unprofiled", "step without the profiler", plain.base, plain.head, plain.base)]
        if plain
        else []
    )
    if step.base is not None and step.head is not None:
        yield from without
        label = "median step, profiled" if plain else "median step"
        yield _line("step", label, step.base, step.head, step.base)
    yield _line("window", whole_of(comparison, "mean step"), window.base, window.head, window.base)
    for key, change in (("busy", comparison.busy_ns), ("idle", comparison.idle_ns)):
        yield _line(key, key, change.base, change.head, window.base)
    if comparison.memory_bound is not None:
        at_roof, below = comparison.memory_bound.at_roof_ns, comparison.memory_bound.below_roof_ns
        for key, label, change in (("at_roof", "memory-bound, at the roof", at_roof),
                                   ("below_roof", "memory-bound, below it", below)):  # fmt: skip
            if change.base or change.head:  # none of either where no roofs are known
                yield _line(key, label, change.base, change.head, window.base)
    if step.base is None or step.head is None:
        yield from without


def _line(key: str, label: str, base: int, head: int, whole: int) -> ChangeLine:
    share = percent(abs(head - base) / whole) if whole and head != base else ABSENT
    sign = "-" if head < base else "+"
    return ChangeLine(
        key, label, duration(base), duration(head), signed(head - base),
        share if share == ABSENT else f"{sign}{share}", base, head,
    )  # fmt: skip


def _notes(comparison: Comparison) -> Iterator[str]:
    step, without = comparison.step_ns, comparison.unprofiled_step_ns
    if without is not None and step.base is not None and step.head is not None:
        share = percent(abs(without.change) / without.base) if without.base else ""
        less = f" ({share} {'less' if without.change < 0 else 'more'})" if share and without.change else ""
        took = f"{duration(without.base)}, now {duration(without.head)}"
        yield (
            "Times of operators, busy and idle time are under the profiler." if took in comparison.sentence
            else f"These times are under the profiler; without it a step takes {took}{less}."
        )  # fmt: skip
    if step.reason is not None and step.verdict != "cannot_tell":
        yield f"{step.reason[0].upper()}{step.reason[1:]}."
    if comparison.memory is not None and comparison.memory.peak_bytes.change:
        peak = comparison.memory.peak_bytes
        yield f"Peak memory: {si(peak.base, 'B')}, now {si(peak.head, 'B')} ({signed(peak.change, 'B')})."
    shown = [_processes(side) for side in (comparison.base, comparison.head)]
    if shown[0] != shown[1] and all(shown):
        yield f"Not the same rank and device: {shown[0]}, then {shown[1]}."
    for code in dict.fromkeys((*comparison.base.warnings, *comparison.head.warnings)):
        sides = [name for name, side in (("base", comparison.base), ("head", comparison.head))
                 if code in side.warnings]  # fmt: skip
        yield f"{' and '.join(sides).capitalize()}: {visible(warning_line(code))}."


def _processes(side: SideInfo) -> str:
    """`rank 3 on device 0` of each run; nothing where a trace names none."""
    named = {(file.rank, file.device_index or 0) for file in side.files if file.rank is not None}
    return " and ".join(f"rank {rank} on device {device}" for rank, device in sorted(named))


def _op(op: OpChange) -> OpChangeLine:
    first = (op.head or op.base)[0]
    return OpChangeLine(
        name=cut(visible(op.name), _NAME), inputs=inputs_of(first),
        where=" ".join(filter(None, (first.phase, cut(visible(first.module or ""), 40)))),
        what=_what(op), evidence=op.evidence or "",
        base=duration(op.base_ns) if op.base else ABSENT, head=duration(op.head_ns) if op.head else ABSENT,
        change=signed(op.change_ns), change_ns=op.change_ns, parts=tuple(_parts(op)),
    )  # fmt: skip


def _what(op: OpChange) -> str:
    if op.match != "became":
        return _MATCHES[op.match]
    many, few = len(op.base), len(op.head)
    if op.how in ("fused", "split"):
        return f"{many} → {few} {op.how}"
    return {"types": "other types", "shapes": "other sizes", "renamed": "another operator"}[
        op.how or "shapes"
    ]


def _parts(op: OpChange) -> Iterator[tuple[str, str, str, str]]:
    for side, rows in (("base", op.base), ("head", op.head)):
        for row in rows[:12]:
            yield side, cut(visible(row.name), TEXT), inputs_of(row), duration(row.attributed_ns)
        if len(rows) > 12:
            rest = sum(row.attributed_ns for row in rows[12:])
            yield side, f"{len(rows) - 12} more", "", duration(rest)


def inputs_of(row: SideRow) -> str:
    """`[8192, 2048] × [2048, 6144] bf16`."""
    dims = [d for d in row.input_dims or () if isinstance(d, tuple | list) and d]
    types = {canonical_dtype(t) for t in row.input_types or ()} - {None}
    text = " × ".join(_dims(d) for d in dims[:4]) + (" …" if len(dims) > 4 else "")
    return cut(" ".join(filter(None, (text, *(t for t in types if len(types) == 1 and t)))), _INPUTS)


def _dims(dims: Sequence[object]) -> str:
    if isinstance(dims[0], tuple | list):
        return f"{{{len(dims)} tensors}}"
    return f"[{', '.join(map(str, dims))}]"
