"""A saved `report.json`, recognized and read back."""

from __future__ import annotations

from pathlib import Path

from traceanalyzer.records import Job
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report.json import read_back

_HEAD = 400  # bytes; our JSON names its schema first


def read_saved(path: str) -> Job | None:
    """The report in `path` if it is one of our reports, else None. UsageError: another version's."""
    if path == "-" or not Path(path).is_file():
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None  # reading the trace says why
    if b'"schema_version"' not in head or b'"tool"' not in head:
        return None
    try:
        return read_back(Path(path).read_bytes())
    except ValueError as error:
        raise UsageError(
            f"{path}: is a saved report that cannot be read ({error})",
            fix="make it again from the trace with this version",
        ) from None
