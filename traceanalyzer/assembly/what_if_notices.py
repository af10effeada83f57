"""What a reader of projections must know: where there is none, and what one rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traceanalyzer.assembly.what_if_rows import change, lacks_peak
from traceanalyzer.device.stand_ins import runs_as
from traceanalyzer.records import Device, Notice, OpRow

CODES = ("what_if_unlike", "what_if_withheld", "what_if_unpriced", "what_if_stand_in")
_MOST_UNPRICED = 0.5  # of busy time without a price: beyond it the time there would be that here
_WORTH_SAYING = 0.05  # of busy time


def notices(rows: Sequence[OpRow], here: Device, others: Sequence[Device]) -> tuple[Notice, ...]:
    """In the order of CODES; none where every row is priced and has a peak of its own everywhere."""
    changed = [device for device in others if change(here, device) != "same"]
    shown = [device for device in changed if withheld(rows, here, device) is None]
    return (
        *_unlike(here, others),
        *_withheld(rows, here, changed),
        *_unpriced(rows, shown),
        *_stand_ins(rows, shown),
    )


def withheld(rows: Sequence[OpRow], here: Device, there: Device) -> str | None:
    """Why nothing is projected onto this device; None where it is."""
    if change(here, there) == "same":
        return None
    busy = sum(row.attributed_ns for row in rows)
    if _unpriced_ns(rows) > _MOST_UNPRICED * busy:
        return f"{_unpriced_ns(rows) / busy:.0%} of busy time has no price"
    missing = [row for row in rows if lacks_peak(row, there)]
    if not missing:
        return None
    share = sum(row.attributed_ns for row in missing) / busy
    if not there.bandwidth_bytes_per_s:
        return f"its bandwidth is not known, which {share:.0%} of busy time needs"
    names = sorted({f"{row.engine} {row.precision}" for row in missing})
    missing_peaks = f"it has no peak of {', '.join(names)}, nor of what runs instead"
    return f"{missing_peaks}, which {share:.1%} of busy time needs"


def _unlike(here: Device, others: Sequence[Device]) -> Iterator[Notice]:
    """Where a CPU is projected onto a GPU or the reverse."""
    names = [other.name for other in others if other.kind != here.kind]
    if names:
        text = f"a {here.kind.upper()} and {', '.join(names)} run other kernels: the projection "
        text += "holds between devices of one kind"
        yield Notice("what_if_unlike", text, len(names))


def _withheld(rows: Sequence[OpRow], here: Device, others: Sequence[Device]) -> Iterator[Notice]:
    reasons = [(device.name, why) for device in others if (why := withheld(rows, here, device))]
    if reasons:
        text = "; ".join(f"nothing is projected onto {name}: {why}" for name, why in reasons)
        yield Notice("what_if_withheld", text, len(reasons))


def _unpriced(rows: Sequence[OpRow], others: Sequence[Device]) -> Iterator[Notice]:
    share = _unpriced_ns(rows) / (sum(row.attributed_ns for row in rows) or 1)
    if others and share > _WORTH_SAYING:
        text = f"{share:.0%} of busy time has no price: it is taken to last as long on "
        text += f"{', '.join(device.name for device in others)}, or as much longer or shorter as the roofs "
        text += "are lower or higher there, which makes the band wide"
        yield Notice("what_if_unpriced", text, sum(not row.is_priced for row in rows))


def _stand_ins(rows: Sequence[OpRow], others: Sequence[Device]) -> Iterator[Notice]:
    said = [text for device in others if (text := _instead(rows, device))]
    if said:
        yield Notice("what_if_stand_in", "; ".join(said), len(said))


def _instead(rows: Sequence[OpRow], device: Device) -> str:
    """`matrix bf16 runs as vector fp32 on NVIDIA T4 (98 % of busy time)`; empty for next to nothing."""
    busy = sum(row.attributed_ns for row in rows)
    shares: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.flops and row.engine and row.precision and not device.peak(row.engine, row.precision):
            key = (row.engine, row.precision)
            shares[key] = shares.get(key, 0) + row.attributed_ns
    large = [(key, ns) for key, ns in sorted(shares.items()) if ns > _WORTH_SAYING * busy]
    words = [
        f"{' '.join(key)} runs as {' '.join(runs_as(device, key) or ())} ({ns / busy:.0%} of busy time here)"
        for key, ns in large
    ]
    return f"on {device.name} {', '.join(words)}" if words else ""


def _unpriced_ns(rows: Sequence[OpRow]) -> int:
    return sum(row.attributed_ns for row in rows if not row.is_priced)
