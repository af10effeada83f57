"""The self-check: rows that exceed a roof, by how much and why; the formulas of the largest rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Literal

import msgspec

from traceanalyzer.assembly.totals import share
from traceanalyzer.cost.kernel_names import is_winograd_or_fft
from traceanalyzer.records import AboveRoof, Device, FormulaText, OpRow
from traceanalyzer.records.units import si
from traceanalyzer.records.vocabulary import BEYOND_RATE, FEWER_PRODUCTS

_CLOCK = 1.05  # a roof exceeded by less: clocks differ from the datasheet's, two measurements from each other
_ROUNDING = 0.999  # of a roof time, below which it is another's
_SHORT_NS = 20_000  # kernels whose time a clock of whole microseconds resolves to 5 % or worse
_REPEATS = ("embedding", "gather", "index", "take")
_FORMULAS = 10  # of the largest priced rows
_NEAR_DATASHEET = "by up to 5 %: clocks differ from the datasheet's"
_NEAR_MEASURED = "by up to 5 %, as two measurements differ"
_UNEXPLAINED = "not explained: FLOPs, bytes or the device's peak may be wrong"


def explained(rows: Sequence[OpRow], device: Device, *, whole_microseconds: bool) -> list[OpRow]:
    """The rows; those above a roof with the reason in their note."""
    noted = []
    for row in rows:
        why = _why(row, device, whole_microseconds)
        note = "; ".join(filter(None, (row.note, why and f"above the roof: {why}")))
        noted.append(msgspec.structs.replace(row, note=note) if why else row)
    return noted


def self_check(
    rows: Sequence[OpRow], device: Device, busy_ns: int, *, whole_microseconds: bool
) -> tuple[AboveRoof, ...]:
    """Time on rows above a roof, by roof and reason; the longest first."""
    groups: dict[tuple[Literal["bandwidth", "compute"], str], list[OpRow]] = {}
    for row in rows:
        why = _why(row, device, whole_microseconds)
        if why:
            groups.setdefault(("compute" if "over_roof" in row.flags else "bandwidth", why), []).append(row)
    entries = []
    for (roof, why), members in groups.items():
        time_ns = sum(row.attributed_ns for row in members)
        worst = max(members, key=lambda row: (row.efficiency or 0, row.attributed_ns, row.name))
        entries.append(AboveRoof(
            roof=roof, reason=why, rows=len(members), time_ns=time_ns, share_of_busy=share(time_ns, busy_ns),
            highest_efficiency=worst.efficiency or 0.0, example=worst.name,
        ))  # fmt: skip
    return tuple(sorted(entries, key=lambda entry: (-entry.time_ns, entry.roof, entry.reason)))


def _why(row: OpRow, device: Device, whole_microseconds: bool) -> str | None:
    """Why a row can be above a roof; None where it is not."""
    if not {"cache_resident", "over_roof"} & set(row.flags) or not row.calls:
        return None
    if "over_roof" in row.flags and any(is_winograd_or_fft(kernel.name) for kernel in row.kernel_names):
        return FEWER_PRODUCTS
    if "over_roof" in row.flags and _by_functions(row, device):
        return BEYOND_RATE  # why is not known: of threads that differ or a busy machine a warning tells
    if "over_roof" not in row.flags:
        cached = _cached(row, device)
        if cached:
            return cached
    if (row.efficiency or 0) <= _CLOCK:
        return _NEAR_MEASURED if device.how == "calibrated" else _NEAR_DATASHEET
    if whole_microseconds and row.time_ns <= _SHORT_NS * row.calls:
        return "the trace's clock counts whole microseconds, and the kernels are short"
    return _UNEXPLAINED


def _by_functions(row: OpRow, device: Device) -> bool:
    """Whether what it is above is a CPU's measured rate of functions, and no peak."""
    peak = device.peak(row.engine, row.precision) if row.engine and row.precision else None
    flops_ns = row.flops / peak * 1e9 if row.flops and peak else 0.0
    return device.kind == "cpu" and row.bound == "compute" and flops_ns < _ROUNDING * (row.roof_ns or 0.0)


def _cached(row: OpRow, device: Device) -> str | None:
    """What of a call's traffic need not reach the memory."""
    moved = ((row.read_bytes or 0) + (row.write_bytes or 0)) / row.calls
    if device.l2_bytes is None:
        return "the size of the device's last-level cache is unknown: it may still hold tensors"
    size = si(device.l2_bytes, "B")
    if moved <= device.l2_bytes:
        return f"everything that a call moves fits in the cache of {size}"
    beyond = moved - 2 * device.l2_bytes  # of the cache, filled before the call and again at its end
    if beyond <= 0 or (row.efficiency or 0) <= moved / beyond:
        return f"part of it was in the cache of {size} when the call began or ended"
    if any(word in row.name for word in _REPEATS):
        return "rows that are read repeatedly may come from the cache"
    if row.name.startswith("triton_"):
        return "a fused kernel may read only parts of its arguments"
    return None


def formulas(rows: Sequence[OpRow], text_of: Callable[[str], FormulaText | None]) -> tuple[FormulaText, ...]:
    """What prices the ten largest priced rows, each operator once, in their order."""
    shown = (r for r in rows if r.flops is not None and r.verdict not in ("communication", "copy"))
    names = dict.fromkeys(row.name for row in islice(shown, _FORMULAS))
    texts = map(text_of, names)
    return tuple(FormulaText(t.op, inspect.cleandoc(t.text), t.source) for t in texts if t is not None)
