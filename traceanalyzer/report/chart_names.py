"""Names beside the largest marks of a chart, where they cover no mark, no line and no other text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from traceanalyzer.report.sanitize import cut

LETTER = 6.8  # width of one, in SVG units at the chart's font size: rather too much than too little
_WIDE, _SLIM, _PLAIN = 12.0, 4.5, 7.8  # in the widest of the fonts a browser may take
_HEIGHT = 14.0
_LONGEST = 26  # characters
_GAP = 4.0
_NEAR = 60.0  # from the edge of a mark


class Box(msgspec.Struct, frozen=True):
    """A rectangle, edges in SVG units."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether both have a point in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def lies_in(self, other: Box) -> bool:
        """Whether no part of it is outside of `other`."""
        beside = self.left >= other.left and self.right <= other.right
        return beside and self.top >= other.top and self.bottom <= other.bottom


class Spot(msgspec.Struct, frozen=True):
    """A mark that should be named."""

    name: str
    number: int  # of its line in the table
    x: float
    y: float
    radius: float


class Name(msgspec.Struct, frozen=True):
    """The name of a mark, from its left end on the baseline."""

    text: str
    number: int
    x: float
    y: float
    box: Box


def around(x: float, y: float, radius: float) -> Box:
    """The box round a circle."""
    return Box(x - radius, y - radius, x + radius, y + radius)


def overlaps(boxes: Sequence[Box], taken: Sequence[Box]) -> int:
    """How many pairs meet."""
    return sum(box.meets(other) for box in boxes for other in taken)


def placed_names(spots: Sequence[Spot], taken: Sequence[Box], inside: Box) -> tuple[Name, ...]:
    """Each at the first free side of its mark; none where no side is free, or the same name is near."""
    occupied, names = list(taken), list[Name]()
    for spot in spots:
        if any(_is_near(spot, name) for name in names):
            continue
        name = next(
            (n for n in _sides(spot) if n.box.lies_in(inside) and not overlaps([n.box], occupied)), None
        )
        if name:
            names.append(name)
            occupied.append(name.box)
    return tuple(names)


def _is_near(spot: Spot, name: Name) -> bool:
    """Whether a name that reads the same already stands about here."""
    return _short(spot.name) == name.text and name.box.meets(around(spot.x, spot.y, spot.radius + _NEAR))


def _short(name: str) -> str:
    return cut(name.removeprefix("aten::"), _LONGEST)


def _sides(spot: Spot) -> Iterator[Name]:
    """Right, left, above and below, then at the corners and a little further off."""
    text = _short(spot.name)
    width = sum(_WIDE if letter in "mwMW…" else _SLIM if letter in "ijl.,:|" else _PLAIN for letter in text)
    for gap in (_GAP, 3 * _GAP, 6 * _GAP):
        off = spot.radius + gap
        right, left, middle = spot.x + off, spot.x - off - width, spot.x - width / 2
        above, level, below = spot.y - off - _HEIGHT, spot.y - _HEIGHT / 2, spot.y + off
        for x, top in ((right, level), (left, level), (middle, above), (middle, below), (right, above),
                       (right, below), (left, above), (left, below)):  # fmt: skip
            box = Box(x, top, x + width, top + _HEIGHT)
            yield Name(text, spot.number, round(x, 1), round(top + 11, 1), box)
