"""The roofline chart as geometry: where roofs, ridges, ticks and points lie, in SVG user units.

Both axes are logarithmic. Rows without FLOPs are drawn in a strip at the left whose
height shows bandwidth alone, so that the distance to the roof means efficiency there too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from traceanalyzer.records import Analysis, Device, OpRow, Verdict
from traceanalyzer.records.units import digits, si
from traceanalyzer.report.chart_names import LETTER, Box, Name, Spot, around, overlaps, placed_names
from traceanalyzer.report.lines import OpLine, bytes_of, measured_ns

WIDTH, HEIGHT = 1072, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 150.0, 892.0, 20.0, 500.0  # of the plot proper; roofs are named right of it
_STRIP = (44.0, 104.0)  # of the rows without FLOPs
_SMALLEST, _LARGEST = 3.0, 26.0  # radius
_DECADES = 9  # shown at most; lower points sit on the bottom edge
_MARKED_AREA = 16_000.0  # area of all marks together
_POINTS = 400  # points
_NAMED, _NAMED_SHARE = 6, 0.005  # points with their names: so many at most, each of so much of busy time
_ALONG = (0.3, 0.15, 0.45, 0.6, 0.05, 0.75)  # of the memory roof, where its label may stand
OUTLINE_OF: dict[Verdict, str] = {
    "memory_bound": "circle", "compute_bound": "square", "latency_bound": "triangle", "unmodelled": "cross",
    "communication": "square", "copy": "square",
}  # fmt: skip


class Tick(msgspec.Struct, frozen=True):
    """A labeled grid line, `at` in SVG units."""

    at: float
    label: str


class Roof(msgspec.Struct, frozen=True):
    """A horizontal roof from its ridge to the right edge."""

    y: float
    from_x: float
    label: str
    label_y: float
    ridge_label: str  # empty where the bandwidth is not known


class Slope(msgspec.Struct, frozen=True):
    """The memory roof: across the strip, then rising to the highest ridge."""

    start_y: float
    end_x: float
    end_y: float
    label: str
    label_x: float
    label_y: float
    angle: float

    def text_boxes(self) -> list[Box]:
        """The rotated label as small boxes, letter by letter."""
        turn, half = math.radians(self.angle), len(self.label) / 2
        steps = [(at - half) * LETTER for at in range(len(self.label) + 1)]
        return [around(self.label_x + at * math.cos(turn), self.label_y + at * math.sin(turn), 8)
                for at in steps]  # fmt: skip


class Point(msgspec.Struct, frozen=True):
    """One operator on the chart."""

    number: int  # of the line in the ops table
    verdict: Verdict
    x: float
    y: float
    radius: float
    path: str  # "d" of the outline
    tip: str
    above: bool  # over its roof
    at_roof: bool  # filled; what stays below is hollow


class Above(msgspec.Struct, frozen=True):
    """Where a point stands above its roof."""

    x: float
    y: float


class Chart(msgspec.Struct, frozen=True):
    """All that is drawn, in SVG units."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    roofs: tuple[Roof, ...]
    slope: Slope | None
    points: tuple[Point, ...]
    flagged: tuple[Above, ...]
    strip_ticks: tuple[Tick, ...]  # B/s, where there are rows without FLOPs
    below: int  # points drawn on an edge of the chart although they lie beyond it
    left_out: int  # rows without a place: communication, copies, unknown work
    names: tuple[Name, ...]  # beside the largest points


class _Scale(msgspec.Struct, frozen=True):
    """Base-10 logarithms at the ends of both axes."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at_x(self, value: float) -> float:
        return _LEFT + (math.log10(value) - self.x[0]) / (self.x[1] - self.x[0]) * (_RIGHT - _LEFT)

    def at_y(self, value: float) -> float:
        return _BOTTOM - (math.log10(value) - self.y[0]) / (self.y[1] - self.y[0]) * (_BOTTOM - _TOP)


class _Mark(msgspec.Struct, frozen=True):
    """A row with a place: its FLOP/s, or its B/s where it has no FLOPs."""

    row: OpRow
    line: OpLine
    intensity: float
    rate: float


def chart(analysis: Analysis, rows: Sequence[OpRow], lines: Sequence[OpLine]) -> Chart:
    """`rows` and their `lines`, largest time first."""
    shown = [(row, line) for row, line in zip(rows, lines, strict=True) if not line.is_sum]
    marks = [m for row, line in shown if (m := _mark(row, line))][:_POINTS]
    device = analysis.device
    peaks = _peaks_used(device, marks)
    scale = _scale(device.bandwidth_bytes_per_s, [peak for peak, _ in peaks], marks)
    area = _area_per_ns(analysis, marks)
    points = [_point(mark, scale, area, index) for index, mark in enumerate(marks)]
    roofs = tuple(_roofs(device.bandwidth_bytes_per_s, peaks, scale))
    boxes = [_extent(point) for point, _ in points]
    slope = _slope(device.bandwidth_bytes_per_s, [peak for peak, _ in peaks], scale, boxes)
    named = [(mark.line.name, point) for mark, (point, _) in zip(marks, points, strict=True)
             if mark.row.attributed_ns >= _NAMED_SHARE * analysis.time.busy_ns]  # fmt: skip
    names = placed_names(
        [Spot(name, p.number, p.x, p.y, p.radius) for name, p in named[:_NAMED]],
        [*boxes, *_texts(roofs, slope), *_lines(roofs, slope), *_tick_boxes(scale)],
        Box(_STRIP[0], _TOP, _RIGHT, _BOTTOM),
    )
    return Chart(
        x_ticks=tuple(Tick(_r(scale.at_x(10.0**d)), _plain(d)) for d in _decades(scale.x)),
        y_ticks=tuple(Tick(_r(scale.at_y(10.0**d)), _plain(d)) for d in _decades(scale.y)),
        roofs=roofs,
        slope=slope,
        points=tuple(point for point, _ in points),
        flagged=tuple(Above(p.x, _r(p.y - p.radius)) for p, _ in points if p.above),
        strip_ticks=tuple(
            Tick(_r(scale.at_y(10.0**d)), _plain(d - round(scale.x[0]))) for d in _decades(scale.y)
        )
        if any(not m.intensity for m in marks)
        else (),
        below=sum(outside for _, outside in points),
        left_out=len(shown) - len(marks),
        names=names,
    )


def _area_per_ns(analysis: Analysis, marks: Sequence[_Mark]) -> float:
    """Area is time: no mark larger than the largest, all together a small part of the chart."""
    longest = max([analysis.time.busy_ns / 20, 1.0, *(m.row.attributed_ns for m in marks)])
    total = sum(m.row.attributed_ns for m in marks)
    return min(math.pi * _LARGEST**2 / longest, _MARKED_AREA / total if total else math.inf)


def _mark(row: OpRow, line: OpLine) -> _Mark | None:
    time, moved = measured_ns(row), bytes_of(row)
    if row.verdict in ("communication", "copy") or not time or not moved or row.intensity is None:
        return None
    if row.flops:
        return _Mark(row, line, row.intensity, row.flops * 1e9 / time)
    return _Mark(row, line, 0.0, moved * 1e9 / time)


def _peaks_used(device: Device, marks: Sequence[_Mark]) -> list[tuple[float, str]]:
    """(FLOP/s, "matrix bf16, fp16"), highest first: the peaks that points are compared with."""
    used = {(m.row.engine, m.row.precision) for m in marks if m.intensity and m.row.verdict != "unmodelled"}
    engines: dict[tuple[float, str], list[str]] = {}
    for peak in device.peaks:
        if (peak.engine, peak.precision) in used:
            engines.setdefault((peak.flop_per_s, peak.precision), []).append(peak.engine)
    names: dict[float, dict[str, list[str]]] = {}
    for (value, precision), with_peak in engines.items():
        engine = with_peak[0] if len(with_peak) == 1 else ""  # a CPU has one roof for both
        names.setdefault(value, {}).setdefault(engine, []).append(precision)
    return [
        (value, " ".join(f"{e} {'/'.join(p)}".strip() for e, p in names[value].items()))
        for value in sorted(names, reverse=True)
    ]


def _scale(bandwidth: float | None, peaks: Sequence[float], marks: Sequence[_Mark]) -> _Scale:
    """Whole decades around every point, roof and ridge; at most `_DECADES` downwards."""
    xs = [m.intensity for m in marks if m.intensity]
    xs += [2.5 * peak / bandwidth for peak in peaks] if bandwidth else []
    low_x = float(math.floor(math.log10(min(xs, default=0.1))))
    high_x = _ceiling(max(xs, default=100.0))
    low_x = max(low_x, high_x - _DECADES)
    ys = [m.rate for m in marks if m.intensity] + list(peaks)
    ys += [m.rate * 10.0**low_x for m in marks if not m.intensity]
    ys += [bandwidth * 10.0**low_x] if bandwidth else []
    high_y = _ceiling(1.3 * max(ys, default=1e12))
    low_y = max(float(math.floor(math.log10(0.8 * min(ys, default=1e9)))), high_y - _DECADES)
    return _Scale((low_x, max(high_x, low_x + 2)), (low_y, max(high_y, low_y + 2)))


def _ceiling(value: float) -> float:
    """The next half decade above `value`, as a logarithm."""
    return math.ceil(2 * math.log10(value) + 1e-9) / 2


def _decades(ends: tuple[float, float]) -> range:
    return range(math.ceil(ends[0]), math.floor(ends[1]) + 1)


def _plain(exponent: int) -> str:
    return si(10.0**exponent, "", 1).strip() if exponent >= 3 else digits(10.0**exponent, 1)


def _roofs(bandwidth: float | None, peaks: Sequence[tuple[float, str]], scale: _Scale) -> list[Roof]:
    result: list[Roof] = []
    label_y = -math.inf
    for peak, names in peaks:
        y = scale.at_y(peak)
        ridge = peak / bandwidth if bandwidth else 0.0
        label_y = max(y + 4, label_y + 15)
        result.append(Roof(
            y=_r(y), from_x=_r(scale.at_x(ridge)) if ridge else _LEFT, label_y=_r(label_y),
            label=f"{names} · {si(peak, 'FLOP/s')}", ridge_label=f"ridge {digits(ridge)}" if ridge else "",
        ))  # fmt: skip
    return result


def _slope(
    bandwidth: float | None, peaks: Sequence[float], scale: _Scale, taken: Sequence[Box]
) -> Slope | None:
    """The memory roof, its label where it covers as little as can be of what is `taken`."""
    if not bandwidth:
        return None
    start, low_x = scale.at_y(bandwidth * 10.0 ** scale.x[0]), 10.0 ** scale.x[0]
    ridge = max(peaks) / bandwidth if peaks else 10.0 ** min(scale.x[1], scale.y[1] - math.log10(bandwidth))
    end_x, end_y = scale.at_x(ridge), scale.at_y(ridge * bandwidth)
    angle = math.degrees(math.atan2(end_y - start, end_x - _LEFT)) if end_x > _LEFT else 0.0

    def labeled(along: float) -> Slope:
        middle = low_x * (ridge / low_x) ** along if ridge > low_x else low_x
        return Slope(
            _r(start), _r(end_x), _r(end_y), f"memory · {si(bandwidth, 'B/s')}",
            _r(scale.at_x(middle)), _r(scale.at_y(middle * bandwidth) - 7), _r(angle),
        )  # fmt: skip

    return min(map(labeled, _ALONG), key=lambda slope: overlaps(slope.text_boxes(), taken))


def _texts(roofs: Sequence[Roof], slope: Slope | None) -> list[Box]:
    """Where the labels of roofs and ridges stand."""
    boxes = slope.text_boxes() if slope else []
    for roof in roofs:
        boxes.append(Box(_RIGHT + 4, roof.label_y - 12, WIDTH, roof.label_y + 4))
        boxes.append(Box(roof.from_x - 2, _BOTTOM - 7 * len(roof.ridge_label), roof.from_x + 14, _BOTTOM))
    return boxes


def _tick_boxes(scale: _Scale) -> list[Box]:
    """Where the labels of the FLOP/s axis stand, between the strip and the plot."""
    heights = (scale.at_y(10.0**d) for d in _decades(scale.y))
    return [Box(_LEFT - 46, y - 8, _LEFT - 4, y + 7) for y in heights]


def _lines(roofs: Sequence[Roof], slope: Slope | None) -> list[Box]:
    """The roofs themselves, as small boxes."""
    boxes = [Box(roof.from_x, roof.y - 2, _RIGHT, roof.y + 2) for roof in roofs]
    if slope:
        for step in range(65):
            x = _LEFT + (slope.end_x - _LEFT) * step / 64
            boxes.append(around(x, slope.start_y + (slope.end_y - slope.start_y) * step / 64, 4))
    return boxes


def _point(mark: _Mark, scale: _Scale, area: float, index: int) -> tuple[Point, bool]:
    """The point, and whether it had to be moved to an edge."""
    row, line = mark.row, mark.line
    if mark.intensity:
        x, y = scale.at_x(mark.intensity), scale.at_y(mark.rate)
    else:
        # Golden-ratio steps keep neighbors apart, and are the same every time.
        x = _STRIP[0] + 10 + (index * 0.618034) % 1 * (_STRIP[1] - _STRIP[0] - 20)
        y = scale.at_y(mark.rate * 10.0 ** scale.x[0])
    inside_x, inside_y = min(max(x, _STRIP[0]), _RIGHT), min(max(y, _TOP), _BOTTOM)
    radius = max(math.sqrt(area * row.attributed_ns / math.pi), _SMALLEST)
    point = Point(
        number=line.number,
        verdict=row.verdict,
        x=_r(inside_x),
        y=_r(inside_y),
        radius=_r(radius),
        path=outline(OUTLINE_OF[row.verdict], inside_x, inside_y, radius),
        tip=tip(line),
        above=(row.efficiency or 0) > 1 or "over_roof" in row.flags,
        at_roof=row.runs_at_a_roof,
    )
    return point, (inside_x, inside_y) != (x, y)


def _extent(point: Point) -> Box:
    """The box round its outline: a triangle of the same area as a circle reaches further."""
    r, edge = point.radius, 1.5
    wide, high, low = (1.35, 1.56, 0.78) if OUTLINE_OF[point.verdict] == "triangle" else (1.0, 1.0, 1.0)
    wide, high, low = (r * reach + edge for reach in (wide, high, low))
    return Box(point.x - wide, point.y - high, point.x + wide, point.y + low)


def tip(line: OpLine) -> str:
    """What a point says when asked."""
    parts = [line.time.text, f"{line.share.text} of busy time"]
    if line.intensity.value:
        parts += [f"{line.intensity.text} FLOP/B", line.flop_rate.text]
    parts.append(line.byte_rate.text)
    if line.efficiency.value is not None:
        parts.append(f"{line.efficiency.text} of its roof{f' ({line.against})' if line.against else ''}")
    head = " ".join(filter(None, (line.name[:80], line.inputs[:100])))
    return (
        f"{head}\n{' · '.join(parts)}\n{', '.join([line.verdict_label, *(flag for flag, _ in line.flags)])}"
    )


def outline(shape: str, x: float, y: float, r: float) -> str:
    """Shapes of equal area around (x, y)."""
    if shape == "square":
        s = r * math.sqrt(math.pi)
        return f"M{_t(x - s / 2)} {_t(y - s / 2)}h{_t(s)}v{_t(s)}h{_t(-s)}z"
    if shape == "triangle":
        s = r * math.sqrt(4 * math.pi / math.sqrt(3))
        h = s * math.sqrt(3) / 2
        return f"M{_t(x)} {_t(y - 2 * h / 3)}l{_t(s / 2)} {_t(h)}h{_t(-s)}z"
    if shape == "cross":
        a = max(r * 0.8, 3)
        return f"M{_t(x - a)} {_t(y - a)}l{_t(2 * a)} {_t(2 * a)}m0 {_t(-2 * a)}l{_t(-2 * a)} {_t(2 * a)}"
    return f"M{_t(x - r)} {_t(y)}a{_t(r)} {_t(r)} 0 1 0 {_t(2 * r)} 0a{_t(r)} {_t(r)} 0 1 0 {_t(-2 * r)} 0z"


def _r(value: float) -> float:
    return round(value, 1)


def _t(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
