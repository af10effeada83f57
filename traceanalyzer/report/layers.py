"""Rows that are alike in every layer of a model, as one; and what each kind of layer costs.

`blocks.0.up` and `blocks.7.up` are both `blocks.*.up`. Where operators know their module, a deep model has as
many rows an operator as it has layers; people read one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from traceanalyzer.records import Analysis, NamedTime, OpRow
from traceanalyzer.records.units import duration, percent
from traceanalyzer.report.rows import is_sum, joint_efficiency, joint_limiter
from traceanalyzer.report.sanitize import ABSENT, visible
from traceanalyzer.report.sentence import is_judged
from traceanalyzer.report.shown import per_step

_LAYERS = 40  # kinds of layers in a table
_NUMBER = re.compile(r"(?:(?<=\.)|^)\d+(?=\.|$)")


class LayerLine(msgspec.Struct, frozen=True):
    """One kind of layer."""

    label: str
    modules: str  # how many of it
    time: str  # attributed; per step where there are steps
    of_busy: str
    share: float
    memory_bound: str  # of the layer's own time


def layer_of(module: str) -> str:
    """`blocks.*.up` of `blocks.7.up`."""
    return _NUMBER.sub("*", module)


def merged(analysis: Analysis) -> Analysis:
    """With one row for those that differ by the layer's number alone; every sum is what it was."""
    groups: dict[object, list[OpRow]] = {}
    for index, row in enumerate(analysis.op_rows):
        alone = row.module is None or is_sum(row)
        groups.setdefault(index if alone else _key(row, row.module or ""), []).append(row)
    if len(groups) == len(analysis.op_rows):
        return analysis
    rows = sorted(map(_merged, groups.values()), key=lambda row: -row.attributed_ns)
    return msgspec.structs.replace(analysis, op_rows=tuple(rows))


def _key(row: OpRow, module: str) -> tuple[object, ...]:
    shapes = (row.input_dims, row.input_types, row.input_strides, row.concrete_inputs)
    verdict = (row.verdict, row.bound, row.engine, row.precision, row.operator_class, row.reason)
    return (row.name, shapes, row.phase, layer_of(module), verdict)


def _merged(rows: Sequence[OpRow]) -> OpRow:
    first = rows[0]
    if len(rows) == 1:
        return first
    roof_ns, efficiency = joint_efficiency(rows)
    times: dict[str, int] = {}
    for kernel in (k for row in rows for k in row.kernel_names):
        times[kernel.name] = times.get(kernel.name, 0) + kernel.time_ns
    named = sorted(times.items(), key=lambda item: (-item[1], item[0]))
    return msgspec.structs.replace(
        first,
        module=layer_of(first.module or ""),
        calls=sum(r.calls for r in rows), kernels=sum(r.kernels for r in rows),
        time_ns=sum(r.time_ns for r in rows), attributed_ns=sum(r.attributed_ns for r in rows),
        flops=_sum(r.flops for r in rows), recomputed_flops=_sum(r.recomputed_flops for r in rows),
        read_bytes=_sum(r.read_bytes for r in rows), write_bytes=_sum(r.write_bytes for r in rows),
        traffic_bytes=_sum(r.traffic_bytes for r in rows) if all(r.traffic_bytes for r in rows) else None,
        roof_ns=roof_ns, efficiency=efficiency, limiter=joint_limiter(rows),
        flags=tuple(dict.fromkeys(flag for r in rows for flag in r.flags)),
        kernel_names=tuple(NamedTime(name, time) for name, time in named),
    )  # fmt: skip


def _sum(values: Iterable[int | None]) -> int | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) if numbers else None


def layers(analysis: Analysis) -> Iterable[LayerLine]:
    """By time, the largest first; nothing where no module has a name."""
    if analysis.module_rows and not any(module.how == "annotation" for module in analysis.module_rows):
        return  # by class, and the tree of modules shows them
    busy = analysis.time.busy_ns
    members: dict[str, list[OpRow]] = {}
    for row in analysis.op_rows:
        if row.module is not None:
            members.setdefault(layer_of(row.module), []).append(row)
    judged = is_judged(analysis)
    by_time = sorted(members.items(), key=lambda item: -sum(r.attributed_ns for r in item[1]))
    for label, rows in by_time[:_LAYERS] if busy else ():
        time = sum(r.attributed_ns for r in rows)
        bound = sum(r.attributed_ns for r in rows if r.verdict == "memory_bound")
        yield LayerLine(
            label=visible(label),
            modules=f"{len({r.module for r in rows}):,}",
            time=duration(per_step(analysis, time)),
            of_busy=percent(time / busy),
            share=time / busy,
            memory_bound=percent(bound / time) if time and (bound or judged) else ABSENT,
        )
