"""Whether both sides did the same work, and what else is not the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from traceanalyzer.comparison.sides import Row, Side
from traceanalyzer.records import Recording, ranks_of
from traceanalyzer.records.comparison import OTHER_WORK, SameWork, WorkCode, WorkReason
from traceanalyzer.records.units import si

_FLOPS_APART = 0.02
_CONTRACTION = "tensor_contraction"


def same_work(base: Side, head: Side) -> SameWork:
    """By device, numbers of devices and ranks, shapes, batch and FLOPs; the rest is only said."""
    reasons = tuple(_reasons(base, head))
    return SameWork(not any(reason.code in OTHER_WORK for reason in reasons), reasons)


def _reasons(base: Side, head: Side) -> Iterator[WorkReason]:
    before, after = base.runs[0], head.runs[0]
    yield from _unlike("device", "device", _device(base), _device(head))
    yield from _unlike("device_count", "devices", _devices(base), _devices(head))
    yield from _unlike("rank_count", "ranks", _ranks(base), _ranks(head))
    batch = _batch(base, head)
    if batch is not None:
        yield batch
    else:
        yield from _flops(base, head)
    yield from _unlike("precision", "precision of most contractions", _precision(base), _precision(head))
    yield from _unlike("step_count", "steps", _steps(base), _steps(head))
    yield from _recorded(before.recording, after.recording)


def _unlike(code: WorkCode, what: str, base: str, head: str) -> Iterator[WorkReason]:
    if base != head and base and head:
        yield WorkReason(code, base, head, f"{what}: {base}, then {head}")


def _steps(side: Side) -> str:
    return str(side.steps) if side.has_steps else "none"


def _device(side: Side) -> str:
    """Of all runs; several where they differ."""
    return " and ".join(dict.fromkeys(filter(None, (run.device.name for run in side.runs))))


def _devices(side: Side) -> str:
    return str(max(len({(r.rank, r.device_index) for r in ranks_of(run)}) or 1 for run in side.runs))


def _ranks(side: Side) -> str:
    return str(max(len({r.rank for r in ranks_of(run)}) or 1 for run in side.runs))


def _flops(base: Side, head: Side) -> Iterator[WorkReason]:
    """FLOPs of contractions per step, without what is computed again."""
    before, after = (_contraction_flops(side) for side in (base, head))
    if before is None or after is None or not before and not after:
        return
    if abs(after - before) > _FLOPS_APART * max(before, after):
        was, now = (si(each, "FLOP") for each in (before, after))
        yield WorkReason("flops", was, now, f"FLOPs of contractions per step: {was}, then {now}")


def _contraction_flops(side: Side) -> float | None:
    """None where some have no known FLOPs."""
    rows = [row for row in side.rows if _is_contraction(row) and row.row.phase != "recompute"]
    if any(row.flops is None and row.time_ns for row in rows):
        return None
    return sum(row.flops or 0 for row in rows) / side.steps


def _is_contraction(row: Row) -> bool:
    return row.row.operator_class == _CONTRACTION


def _precision(side: Side) -> str:
    """That most time of contractions runs in."""
    times: Counter[str] = Counter()
    for row in side.rows:
        if _is_contraction(row) and row.row.precision:
            times[row.row.precision] += row.time_ns
    return max(times, key=lambda name: (times[name], name)) if times else ""


def _batch(base: Side, head: Side) -> WorkReason | None:
    """Leading sizes that all change by one ratio, or contractions of which no size is the same."""
    before, after = (_products(side) for side in (base, head))
    if not before or not after or set(before) & set(after):
        return None
    ratios = {
        second[0][0] / first[0][0] for first in before for second in after
        if first[0][1:] == second[0][1:] and first[1:] == second[1:] and first[0][0] and second[0][0]
    }  # fmt: skip
    if len(ratios) == 1:
        (ratio,) = ratios
        return WorkReason("batch", "1", f"{ratio:g}", f"leading sizes: {ratio:g} times as large")
    was, now = (" x ".join(map(str, next(iter(each))[0])) for each in (before, after))
    return WorkReason("shapes", was, now, f"sizes of contractions: such as {was}, then {now}")


def _products(side: Side) -> dict[tuple[tuple[int, ...], ...], None]:
    """Sizes of the tensors of each contraction of the forward pass."""
    rows = [row for row in side.rows if _is_contraction(row) and row.row.phase in ("forward", None)]
    sizes = (tuple(_sizes(row.row.input_dims or ())) for row in rows if row.row.input_dims)
    return {each: None for each in sizes if each and all(each[0])}


def _sizes(dims: Sequence[Any]) -> Iterator[tuple[int, ...]]:
    """Of the first two tensors with sizes."""
    plain = [
        tuple(each) for each in dims if each and isinstance(each, tuple | list) and isinstance(each[0], int)
    ]
    yield from [each for each in plain if len(each) > 1][:2]


def _recorded(base: Recording | None, head: Recording | None) -> Iterator[WorkReason]:
    if base is None or head is None:
        return
    yield from _unlike("versions", "PyTorch", base.torch or "", head.torch or "")
    yield from _unlike("versions", "CUDA", base.cuda or "", head.cuda or "")
    if base.tf32 is not None and head.tf32 is not None:
        yield from _unlike("settings", "TF32", str(base.tf32), str(head.tf32))
