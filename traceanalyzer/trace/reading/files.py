"""Which files an analysis reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from traceanalyzer.records.errors import TraceFormatError

_ENDINGS = (".json", ".json.gz")


def trace_files(given: Sequence[str]) -> list[str]:
    """The trace files named by `given`, folders replaced by the traces in them, in the order of their names.

    In a folder that holds files named `*.trace.json` or `*.trace.json.gz`, as the profiler names them,
    other JSON is left alone. Raises TraceFormatError for a folder without any.
    """
    paths: list[str] = []
    for path in given:
        paths += _in_folder(Path(path)) if os.path.isdir(path) else [path]
    first: dict[str, str] = {}
    for path in paths:
        first.setdefault(_same(path), path)
    return list(first.values())


def _same(path: str) -> str:
    """Equal for two spellings of one file."""
    return os.path.realpath(path) if os.path.exists(path) else path


def _in_folder(folder: Path) -> list[str]:
    try:
        inside = [file for file in folder.iterdir() if file.name.endswith(_ENDINGS) and file.is_file()]
    except OSError as error:
        raise TraceFormatError(
            f"{folder}: cannot be read ({error.strerror})", fix="check that you may list and read the folder"
        ) from None
    files = sorted(map(str, inside))
    named = [file for file in files if file.endswith(tuple(f".trace{ending}" for ending in _ENDINGS))]
    if not files:
        raise TraceFormatError(
            f"{folder}: is a folder without traces (*.json, *.json.gz)",
            fix="give a trace file, or a folder that holds some",
        )
    return named or files
