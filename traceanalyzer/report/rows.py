"""An Analysis short enough to be shown: the largest rows, the rest added up, every total unchanged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from traceanalyzer.records import (
    Analysis,
    Job,
    JobInfo,
    Limiter,
    NamedTime,
    Notice,
    OpRow,
    StepTimeline,
    Suggestion,
)
from traceanalyzer.records.times import typical_step
from traceanalyzer.report.sanitize import TEXT, cut

AGGREGATED = "rows_aggregated"  # warning codes of an analysis made small
SHORTENED = "lists_shortened"

_ENOUGH = 0.9  # of busy time, that rows hold before the others are added up
_FEW = 8
_KERNELS = 8  # kernel names a row keeps
_RANKS = 256
_COLLECTIVES = 256
_STEPS = 64
_SUGGESTIONS = 40
_PLACES = 100  # modules, functions, waits
_SHAPES = 2_000  # characters of a row's inputs; optimizers take lists of hundreds of tensors
_SUM = "(sum of "
_SUM_NAME = re.compile(r"\(sum of [0-9]{1,3}(?:,[0-9]{3}){0,3} rows?\)")


def top_rows(analysis: Analysis, top: int) -> list[OpRow]:
    """The `top` largest rows, then one for each (verdict, bound, class, phase, reason) of all others.

    Sums over them are exactly those over all rows.
    """
    single = [row for row in analysis.op_rows if not is_sum(row)]
    sums = [row for row in analysis.op_rows if is_sum(row)]
    return [*single[:top], *(_added_up([*single[top:], *sums]) if len(single) > top else sums)]


def enough_rows(analysis: Analysis, most: int) -> int:
    """How many of the largest rows hold 90 % of busy time; at least a few, and at most so many."""
    times = [row.attributed_ns for row in analysis.op_rows if not is_sum(row)]
    sums = accumulate(times)
    count = next((i for i, ns in enumerate(sums, 1) if ns >= _ENOUGH * analysis.time.busy_ns), len(times))
    return min(max(count, _FEW), len(times), most)


def count_of(row: OpRow) -> int:
    """How many rows `row` stands for."""
    return int(row.name[len(_SUM) :].split(" ")[0].replace(",", "")) if is_sum(row) else 1


def shortened(analysis: Job, top: int) -> Job:
    """The same report with `top_rows`, long names cut and long lists shortened; a warning says so."""
    rows = top_rows(analysis, top)
    notices = [w for w in analysis.source.warnings if w.code not in (AGGREGATED, SHORTENED)]
    hidden = sum(count_of(row) for row in rows if is_sum(row))
    if hidden:
        text = (
            f"of the {sum(map(count_of, rows)):,} rows are added up by verdict, class, phase and reason; "
            "-o report.json lists every one"
        )
        notices.append(Notice(AGGREGATED, text, hidden))
    kept, suggestions = _extreme_ranks(analysis), analysis.suggestions
    ranks = None if analysis.ranks is None else tuple(analysis.ranks[i] for i in kept)
    left_out = len(analysis.ranks or ()) - len(ranks or ()) + max(0, len(suggestions or ()) - _SUGGESTIONS)
    if left_out:
        notices.append(
            Notice(SHORTENED, "ranks or suggestions are left out; -o report.json lists all", left_out)
        )
    source = msgspec.structs.replace(
        analysis.source,
        warnings=tuple(msgspec.structs.replace(w, message=cut(w.message, 4 * TEXT)) for w in notices),
    )
    steps = analysis.window.steps
    return msgspec.structs.replace(
        analysis,
        source=source,
        window=msgspec.structs.replace(analysis.window, steps=steps[:_STEPS]),
        op_rows=tuple(_short(row) for row in rows),
        step_timelines=shown_timeline(analysis),
        module_rows=analysis.module_rows and analysis.module_rows[:_PLACES],
        function_rows=analysis.function_rows and analysis.function_rows[:_PLACES],
        wait_rows=analysis.wait_rows[:_PLACES],
        ranks=ranks,
        job=_short_job(analysis.job, kept),
        suggestions=None if suggestions is None else tuple(map(_brief, suggestions[:_SUGGESTIONS])),
    )


def shown_timeline(analysis: Analysis) -> tuple[StepTimeline, ...] | None:
    """The entry of the step that is shown, or of one that is like all others, or of the window."""
    if (
        not analysis.step_timelines
        or not analysis.step_rows
        or len(analysis.step_timelines) != len(analysis.step_rows)
    ):
        return analysis.step_timelines
    step = typical_step(analysis.step_rows)
    return (analysis.step_timelines[analysis.step_rows.index(step)],)


def is_sum(row: OpRow) -> bool:
    """Whether `row` stands for several."""
    return row.input_dims is None and _SUM_NAME.fullmatch(row.name) is not None


def _added_up(rows: Sequence[OpRow]) -> list[OpRow]:
    groups: dict[tuple[str | None, ...], list[OpRow]] = {}
    for row in rows:
        key = (row.verdict, row.bound, row.operator_class, row.phase, row.reason)
        groups.setdefault(key, []).append(row)
    sums = [_sum(members) for members in groups.values()]
    return sorted(sums, key=lambda r: (
        -r.attributed_ns, r.verdict, r.bound or "", r.operator_class, r.phase or "", r.reason or ""
    ))  # fmt: skip


def _sum(rows: Sequence[OpRow]) -> OpRow:
    """What can be added is; what cannot (shapes, modules, flags) is left out."""
    first, count = rows[0], sum(map(count_of, rows))
    flops, read, write = (
        _total([getattr(r, f) for r in rows]) for f in ("flops", "read_bytes", "write_bytes")
    )
    uncounted = sum(r.flops is None or r.read_bytes is None for r in rows)
    moved = (read or 0) + (write or 0)
    roof_ns, efficiency = joint_efficiency(rows)
    return OpRow(
        name=f"{_SUM}{count:,} row{'s' if count > 1 else ''})",
        input_dims=None, input_types=None, input_strides=None, concrete_inputs=None,
        phase=first.phase, module=None,
        calls=sum(r.calls for r in rows), kernels=sum(r.kernels for r in rows),
        time_ns=sum(r.time_ns for r in rows), attributed_ns=sum(r.attributed_ns for r in rows),
        flops=flops, read_bytes=read, write_bytes=write,
        intensity=flops / moved if flops is not None and moved and not uncounted else None,
        engine=first.engine if len({r.engine for r in rows}) == 1 else None,
        precision=first.precision if len({r.precision for r in rows}) == 1 else None,
        roof_ns=roof_ns, efficiency=efficiency,
        bound=first.bound, limiter=joint_limiter(rows), verdict=first.verdict,
        operator_class=first.operator_class,
        flags=(), reason=first.reason, kernel_names=_kernels([k for r in rows for k in r.kernel_names]),
        note=f"FLOPs or bytes of {uncounted:,} of them are unknown" if uncounted and flops else "",
    )  # fmt: skip


def _total(values: Sequence[int | None]) -> int | None:
    numbers = [v for v in values if v is not None]
    return sum(numbers) if numbers else None


def joint_efficiency(rows: Sequence[OpRow]) -> tuple[float | None, float | None]:
    """Roof time and efficiency of all together, where each has its own."""
    roof = measured = 0.0
    for row in rows:
        if row.roof_ns is None or not row.efficiency:
            return None, None
        roof += row.roof_ns
        measured += row.roof_ns / row.efficiency
    return roof, roof / measured if measured else None


def joint_limiter(rows: Sequence[OpRow]) -> Limiter | None:
    """Of rows that agree."""
    return rows[0].limiter if len({row.limiter for row in rows}) == 1 else None


def _kernels(kernels: Iterable[NamedTime]) -> tuple[NamedTime, ...]:
    """The longest, each name once, and one entry for the others."""
    times: Counter[str] = Counter()
    for kernel in kernels:
        times[kernel.name] += kernel.time_ns
    ranked = sorted(times.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) > _KERNELS:
        others = ranked[_KERNELS - 1 :]
        ranked = [*ranked[: _KERNELS - 1], (f"({len(others):,} other kernels)", sum(t for _, t in others))]
    return tuple(NamedTime(cut(name, TEXT), time) for name, time in ranked)


def _short(row: OpRow) -> OpRow:
    """`row` without what would fill pages."""
    changes: dict[str, Any] = {
        "name": cut(row.name, TEXT), "module": cut(row.module, TEXT) if row.module else row.module,
        "kernel_names": _kernels(row.kernel_names), "note": cut(row.note, TEXT),
    }  # fmt: skip
    inputs = (row.input_dims, row.input_types, row.input_strides, row.concrete_inputs)
    if sum(len(str(v)) for v in inputs if v) > _SHAPES:
        note = "; ".join(filter(None, (changes["note"], "its long lists of inputs are left out here")))
        changes |= {
            "input_dims": (),
            "input_types": (),
            "input_strides": None,
            "concrete_inputs": None,
            "note": note,
        }
    return msgspec.structs.replace(row, **changes)


def _extreme_ranks(analysis: Job) -> list[int]:
    """Places of the busiest and the least busy, of those that waited least and longest, in their order."""
    ranks, waits = analysis.ranks or (), analysis.job.ranks if analysis.job else ()
    if len(ranks) <= _RANKS:
        return list(range(len(ranks)))
    busy = sorted(range(len(ranks)), key=lambda i: ranks[i].busy_ns)
    waited = sorted(range(len(waits)), key=lambda i: waits[i].waited_ns or 0)
    quarter = _RANKS // 4
    return sorted({*busy[:quarter], *busy[-quarter:], *waited[:quarter], *waited[-quarter:]})


def _short_job(job: JobInfo | None, kept: Sequence[int]) -> JobInfo | None:
    if job is None:
        return None
    ranks = tuple(job.ranks[i] for i in kept if i < len(job.ranks))
    return msgspec.structs.replace(job, ranks=ranks, collectives=job.collectives[:_COLLECTIVES])


def _brief(suggestion: Suggestion) -> Suggestion:
    texts = {
        f: cut(getattr(suggestion, f), 3 * TEXT) for f in ("title", "action", "snippet", "where", "evidence")
    }
    caveats = tuple(cut(c, TEXT) for c in suggestion.caveats[:10])
    return msgspec.structs.replace(suggestion, caveats=caveats, **texts)
