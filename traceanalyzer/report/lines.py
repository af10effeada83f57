"""One op row as people read it: inputs, numbers with units, and how each number was computed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from traceanalyzer.records import Analysis, OpRow, Verdict
from traceanalyzer.records.units import canonical_dtype, digits, duration, percent, si
from traceanalyzer.report.code_view import code_of, tail
from traceanalyzer.report.labels import (
    CLASS_LABELS,
    FLAG_MEANING,
    REASON_MEANING,
    VERDICT_LABELS,
)
from traceanalyzer.report.rows import is_sum
from traceanalyzer.report.sanitize import ABSENT, TEXT, cut, visible
from traceanalyzer.report.shown import counted as count_text
from traceanalyzer.report.shown import per_step, rows_heading

_INPUTS = 140  # characters of an op's inputs in a table
_MAX_NAME = 120
_MAX_MODULE = 36
_FUNCTIONS = "functions and random numbers"  # of a CPU, which are no FLOPs
_AS_PREDICTED = 0.15  # counters and formulas agree where they are no further apart: docs/hardware.md


class Cell(msgspec.Struct, frozen=True):
    """A number as text, and the number to sort by; None where it is not known."""

    text: str
    value: float | None


class OpLine(msgspec.Struct, frozen=True):
    """One line of the ops table."""

    number: int  # 1 for the largest; the anchor of the line
    name: str
    inputs: str  # "[8192, 2048] × [2048, 6144] bf16"
    phase: str
    module: str
    calls: Cell
    time: Cell  # attributed; per step where there are steps
    share: Cell  # of busy time
    intensity: Cell  # FLOP/B
    flop_rate: Cell  # achieved FLOP/s
    byte_rate: Cell  # achieved B/s
    efficiency: Cell  # of the roof
    against: str  # "matrix bf16"
    bound: str
    verdict: Verdict
    verdict_label: str
    operator_class: str
    flags: tuple[tuple[str, str], ...]  # (flag, meaning)
    reason: str
    computed: tuple[str, ...]
    kernels: tuple[tuple[str, str], ...]  # (name, time, as in the table)
    counted: str  # "805 MB counted, 1.33 × predicted", by hardware
    is_sum: bool
    code: str = ""  # "net.py:41": the function of most of it

    @property
    def title(self) -> str:
        """Its name, cut to the width of a table; the kernels have theirs in full."""
        return cut(self.name, _MAX_NAME)

    @property
    def about(self) -> tuple[str, ...]:
        """What distinguishes the line from others of its name."""
        if self.is_sum:
            return tuple(filter(None, (self.operator_class, self.phase, self.reason)))
        return tuple(filter(None, (self.inputs, self.phase, self.module, self.code, self.counted)))


def op_line(row: OpRow, number: int, analysis: Analysis) -> OpLine:
    """`row` as line `number` of the tables of `analysis`."""
    measured = measured_ns(row)
    moved = bytes_of(row)
    flop_rate = row.flops * 1e9 / measured if row.flops and measured else None
    byte_rate = moved * 1e9 / measured if moved and measured else None
    busy = analysis.time.busy_ns
    share = row.attributed_ns / busy if busy else 0.0
    return OpLine(
        number=number, name=cut(visible(row.name), TEXT), inputs=inputs(row), phase=row.phase or "",
        module=tail(visible(row.module or ""), _MAX_MODULE),
        calls=Cell(count_text(per_step(analysis, row.calls)), row.calls),
        time=Cell(duration(per_step(analysis, row.attributed_ns)), row.attributed_ns),
        share=Cell(percent(share), share),
        intensity=Cell(digits(row.intensity) if row.intensity is not None else ABSENT, row.intensity),
        flop_rate=Cell(si(flop_rate, "FLOP/s") if flop_rate else ABSENT, flop_rate),
        byte_rate=Cell(si(byte_rate, "B/s") if byte_rate else ABSENT, byte_rate),
        efficiency=Cell(percent(row.efficiency, 0) if row.efficiency is not None else ABSENT, row.efficiency),
        against=" ".join(filter(None, (row.engine, row.precision))), bound=row.bound or "",
        verdict=row.verdict, verdict_label=VERDICT_LABELS[row.verdict],
        operator_class=CLASS_LABELS[row.operator_class],
        flags=tuple((flag.replace("_", " "), FLAG_MEANING[flag]) for flag in row.flags),
        reason=REASON_MEANING[row.reason] if row.reason else "",
        computed=tuple(computed(row, analysis)),
        kernels=tuple(
            (cut(visible(kernel.name), TEXT), duration(per_step(analysis, kernel.time_ns)))
            for kernel in row.kernel_names[:8]
        ),
        counted=_counted_briefly(row, analysis), is_sum=is_sum(row), code=code_of(row),
    )  # fmt: skip


def bytes_of(row: OpRow) -> int | None:
    """Bytes read and written, where both are known."""
    if row.read_bytes is None or row.write_bytes is None:
        return None
    return row.read_bytes + row.write_bytes


def measured_ns(row: OpRow) -> float:
    """The time (ns) that its rates are divided by: that of its efficiency, else the sum of its kernels'."""
    return row.roof_ns / row.efficiency if row.roof_ns and row.efficiency else float(row.time_ns)


def inputs(row: OpRow, limit: int = _INPUTS) -> str:
    """`[8192, 2048] × [2048, 6144] bf16`: tensors only, scalars left out; runs of equal ones counted."""
    if not row.input_dims:
        return ""
    types = row.input_types or ()
    shown: list[tuple[str, str]] = []
    for i, dims in enumerate(row.input_dims):
        text = _dims(dims)
        if text:
            dtype = types[i] if i < len(types) else ""
            shown.append((text, canonical_dtype(dtype) or ("" if "TensorList" in dtype else visible(dtype))))
    kinds = {dtype for _, dtype in shown}
    if len(kinds) == 1:
        joined = f"{' × '.join(_counted([text for text, _ in shown]))} {kinds.pop()}"
    else:
        joined = " × ".join(_counted([f"{text} {dtype}".strip() for text, dtype in shown]))
    return cut(joined.strip(), limit)


def _dims(dims: Any) -> str:
    """One input: `[8, 1024]`, `{[8192, 2048] ×148}` for a list of tensors, nothing for a scalar."""
    if not isinstance(dims, tuple | list) or not dims:
        return ""
    if isinstance(dims[0], tuple | list):
        return "{" + ", ".join(_counted([_dims(d) or "[]" for d in dims])) + "}"
    return f"[{', '.join(map(str, dims))}]"


def _counted(texts: list[str]) -> list[str]:
    """`a, a, a, b` as `a ×3, b`; pairs stay written out."""
    result: list[str] = []
    start = 0
    for i in range(1, len(texts) + 1):
        if i == len(texts) or texts[i] != texts[start]:
            run = i - start
            result += [texts[start]] * run if run < 3 else [f"{texts[start]} ×{run}"]
            start = i
    return result


def computed(row: OpRow, analysis: Analysis) -> list[str]:
    """The arithmetic behind a line, each step with its numbers; of the same steps as the table's."""
    lines, each = [_time_text(row, analysis)], partial(per_step, analysis)
    moved = bytes_of(row)
    if row.flops is not None:
        lines.append(f"FLOPs: {si(each(row.flops), 'FLOP')}{_per_call(row, row.flops, 'FLOP', analysis)}")
    for what, ends, unit in (("FLOPs", row.flops_range, "FLOP"), ("Bytes", row.bytes_range, "B")):
        if ends:
            least, most = (si(each(end), unit) for end in ends)
            lines.append(f"{what}: between {least} and {most}, which data decides")
    if moved is not None and row.read_bytes is not None and row.write_bytes is not None:
        read, written = si(each(row.read_bytes), "B"), si(each(row.write_bytes), "B")
        total = f"{si(each(moved), 'B')}{_per_call(row, moved, 'B', analysis)}"
        lines.append(f"Bytes: {read} read + {written} written = {total}")
    if row.counter_bytes is not None:
        lines.append(f"Counted: {counted(row, analysis)}")
    lines += _roof_lines(row, analysis)
    if row.reason:
        lines.append(f"Not modelled: {REASON_MEANING[row.reason]}")
    for name, values in (("Strides", row.input_strides), ("Scalar arguments", row.concrete_inputs)):
        text = ", ".join(_dims(v) or visible(str(v)) for v in values or () if v not in ((), ""))
        if text:
            lines.append(f"{name}: {cut(text, 300)}")
    if row.note:
        lines.append(f"Note: {cut(visible(row.note), TEXT)}")
    return lines


def counted(row: OpRow, analysis: Analysis) -> str:
    """What hardware counters saw beside what is predicted, and what may explain the difference."""
    seen, ratio = row.counter_bytes or 0, _counted_ratio(row)
    text = f"{si(per_step(analysis, seen), 'B')} of DRAM traffic{_per_call(row, seen, 'B', analysis)}"
    if ratio is None:
        return text
    why = "as predicted"
    if ratio < 1 - _AS_PREDICTED:
        why = "part of it was or stayed in the cache"
    elif ratio > 1 + _AS_PREDICTED:
        why = "the kernels read or write again, pad or spill, which the formula does not count"
    predicted = si(per_step(analysis, row.traffic_bytes or bytes_of(row) or 0), "B")
    return f"{text} = {digits(ratio)} × the {predicted} predicted: {why}"


def _counted_ratio(row: OpRow) -> float | None:
    """Counted bytes by predicted ones; None where either is not known."""
    predicted = row.traffic_bytes or bytes_of(row)
    return row.counter_bytes / predicted if row.counter_bytes is not None and predicted else None


def _counted_briefly(row: OpRow, analysis: Analysis) -> str:
    if row.counter_bytes is None:
        return ""
    ratio = _counted_ratio(row)
    beside = f", {digits(ratio)} × predicted" if ratio is not None else ""
    return f"{si(per_step(analysis, row.counter_bytes), 'B')} counted{beside}"


def _time_text(row: OpRow, analysis: Analysis) -> str:
    each, unit = partial(per_step, analysis), "kernel" if analysis.device.kind == "gpu" else "record"
    kernels, calls, heading = each(row.kernels), each(row.calls), rows_heading(analysis)
    which = {"per step": "per step ", "time": ""}.get(heading, f"in {heading} ")
    text = f"Time: {which}{count_text(kernels)} {unit}{'s' if kernels != 1 else ''} in {count_text(calls)} "
    text += f"call{'s' if calls != 1 else ''}, {duration(each(row.time_ns))} together"
    if row.attributed_ns != row.time_ns:
        attributed = duration(each(row.attributed_ns))
        text += f"; {attributed} of it attributed, the rest overlaps with other kernels"
    return text


def _per_call(row: OpRow, total: int, unit: str, analysis: Analysis) -> str:
    several = per_step(analysis, row.calls) > 1
    return f" ({si(total / row.calls, unit)} per call)" if several and total and not is_sum(row) else ""


def _roof_lines(row: OpRow, analysis: Analysis) -> list[str]:
    """Intensity against the ridge, both roof times, and the efficiency."""
    device, each = analysis.device, partial(per_step, analysis)
    moved, bandwidth = bytes_of(row), device.bandwidth_bytes_per_s
    peak = device.peak(row.engine, row.precision) if row.engine and row.precision else None
    lines, flops, bytes_moved = [], each(row.flops or 0), each(moved or 0)
    parts = [] if is_sum(row) else list(_at_roofs(flops, peak, bytes_moved, bandwidth))
    roof = each(row.roof_ns or 0.0)
    by_functions = bool(parts) and roof > 1.001 * max(ns for ns, _ in parts)
    if row.intensity is not None and not is_sum(row):
        ridge = (
            f"; ridge {digits(peak / bandwidth)} FLOP/B ({row.engine} {row.precision})"
            if peak and bandwidth
            else ""
        )
        beside = f"; {_FUNCTIONS} are no FLOPs" if by_functions else ridge
        lines.append(f"Intensity: {digits(row.intensity)} FLOP/B{beside}")
    if row.roof_ns is not None and row.efficiency is not None:
        if by_functions:
            parts.append((roof, f"{_FUNCTIONS} at their measured rates = {duration(roof)}"))
        which = "the larger of " if len(parts) == 2 else "the largest of " if len(parts) > 2 else ""
        larger = f"{which}{' and '.join(text for _, text in parts)}; " if parts else ""
        lines.append(f"Roof time: {larger}{duration(roof)} of {duration(each(measured_ns(row)))} measured = "
                    f"{percent(row.efficiency, 0)}")  # fmt: skip
    return lines


def _at_roofs(
    flops: float, peak: float | None, moved: float, bandwidth: float | None
) -> Iterator[tuple[float, str]]:
    """What FLOPs and bytes take at the roofs: in ns, and as text."""
    if flops and peak:
        ns = flops / peak * 1e9
        yield ns, f"{si(flops, 'FLOP')} / {si(peak, 'FLOP/s')} = {duration(ns)}"
    if moved and bandwidth:
        ns = moved / bandwidth * 1e9
        yield ns, f"{si(moved, 'B')} / {si(bandwidth, 'B/s')} = {duration(ns)}"
