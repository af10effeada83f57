"""Markdown tables of the page."""

from __future__ import annotations

from collections.abc import Iterator


def header(columns: str) -> Iterator[str]:
    """`name; >number` is a table of two columns, the second aligned to the right."""
    names = columns.split("; ")
    yield f"| {' | '.join(name.removeprefix('>') for name in names)} |"
    yield f"|{'|'.join('---:' if name.startswith('>') else '---' for name in names)}|"


def one_line(text: object, most: int = 100) -> str:
    """The end of an error's text, fit for a cell."""
    return " ".join(str(text).split()).replace("|", "/")[-most:]
