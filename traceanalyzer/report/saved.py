"""A saved `report.json`, recognized and read back."""

from __future__ import annotations

import json
from pathlib import Path

from traceanalyzer.records import Job
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report.json import read_back

_OTHERS = (("same_work", "a comparison", "diff"), ("requirements", "the result", "check"))
_HEAD = 400  # bytes; our JSON names its schema first


def is_saved(path: str) -> bool:
    """Whether `path` is a file that begins as our reports do."""
    if path == "-" or not Path(path).is_file():
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False  # reading the trace says why
    return b'"schema_version"' in head and b'"tool"' in head


def read_saved(path: str) -> Job | None:
    """The report in `path` if it is one of our reports, else None. UsageError: another version's."""
    if not is_saved(path):
        return None
    try:
        content = Path(path).read_bytes()
        return read_back(content)
    except ValueError as error:
        refuse_other(path, content)
        raise UsageError(
            f"{path}: is a saved report that cannot be read ({error})",
            fix="make it again from the trace with this version",
        ) from None


def refuse_other(path: str, content: bytes) -> None:
    """UsageError where `content` is JSON of ours that is no report: a comparison, or a check's result."""
    try:
        document = json.loads(content)
    except ValueError:
        return
    names = document.keys() if isinstance(document, dict) else ()
    for name, what, command in (
        ("same_work", "a comparison", "diff"),
        ("requirements", "the result", "check"),
    ):
        if name in names:
            raise UsageError(f"{path}: is {what} of `traceanalyze {command}`, and no report",
                             fix="give a trace or a report that it was made of") from None  # fmt: skip
