"""A picture as text: an SVG that a notebook shows and that can be written to a file as it is."""

from __future__ import annotations


class Svg(str):
    """The text of one SVG image, which needs nothing beside itself."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        """What a notebook shows."""
        return str(self)
