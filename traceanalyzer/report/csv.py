"""The op rows as CSV: the JSON's names as columns, one line a row, every row."""

from __future__ import annotations

import csv
import json
from typing import Any

import msgspec

from traceanalyzer.records import Analysis, OpRow

COLUMNS = tuple(field.name for field in msgspec.structs.fields(OpRow))
_END = "\r\n"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run these


def render(analysis: Analysis, top: int | None = None) -> str:
    """RFC 4180 with bare newlines. Lists are JSON in one cell, flags are joined by blanks, null is empty."""
    out = _Lines()
    writer = csv.writer(out, lineterminator=_END)
    writer.writerow(COLUMNS)
    for row in analysis.op_rows:
        writer.writerow([_cell(column, getattr(row, column)) for column in COLUMNS])
    return "".join(out.lines)


class _Lines:
    """Ends lines with bare newlines. The writer quotes cells that hold a character of its line's end."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        """One row, as the writer ends it."""
        self.lines.append(f"{line.removesuffix(_END)}\n")


def _cell(column: str, value: Any) -> str | int | float:
    """A number as it is, a text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    if column == "flags":
        return " ".join(value)
    if column in ("kernel_names", "places"):
        value = [msgspec.structs.asdict(entry) for entry in value]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or text.startswith(_FORMULA) else text
