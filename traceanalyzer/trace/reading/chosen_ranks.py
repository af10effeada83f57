"""`--ranks 0,8-15`: the files of some ranks among many, told without reading the others whole."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

from traceanalyzer.records.errors import TraceAnalyzerError, UsageError
from traceanalyzer.trace.reading.metadata import named_rank, rank
from traceanalyzer.trace.reading.names import shown_name
from traceanalyzer.trace.reading.source import TraceSource

_PART = re.compile(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*", re.ASCII)
_DISTRIBUTED = re.compile(rb'(?<!\\)"distributedInfo"\s*:\s*(?=\{)')
_LONGEST = 1 << 20  # bytes of `distributedInfo`, which lists process groups
_TAIL = 1 << 22
_MOST = 1 << 20  # ranks that a range may ask for


def parsed(text: str) -> list[range]:
    """The ranks of `0,8,16` or `0-15`. UsageError for a text that names none."""
    asked = []
    for part in text.split(","):
        match = _PART.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + _MOST:
            raise UsageError(f"--ranks {text}: {part.strip() or 'nothing'!r} names no rank",
                             fix="give numbers and ranges, such as --ranks 0,8,16-23")  # fmt: skip
        asked.append(range(first, last + 1))
    return asked


def of_ranks(files: Sequence[str], text: str) -> list[str]:
    """Those of the files that are of these ranks, in order. UsageError for a rank that none is of.

    A file's name tells its rank; of one whose name does not, its `distributedInfo`.
    """
    asked = parsed(text)
    ranks = [_rank_of(file) for file in files]
    chosen = [file for file, number in zip(files, ranks, strict=True)
              if number is not None and any(number in part for part in asked)]  # fmt: skip
    there = {number for number in ranks if number is not None}
    missing = sorted({number for part in asked for number in part} - there)
    if missing:
        raise _not_there(missing, sorted(there), ranks.count(None))
    return chosen


def _not_there(missing: Sequence[int], there: Sequence[int], unknown: int) -> UsageError:
    unsaid = f"; the rank of {unknown:,} files is not known" if unknown else ""
    return UsageError(
        f"no file of rank {ranges(missing)} in the input (there are: {ranges(there) or 'none'}{unsaid})",
        fix=f"give --ranks {ranges(there)}, or some of them" if there else "leave --ranks out",
    )


def ranges(numbers: Sequence[int]) -> str:
    """`0-7,9` of ascending numbers; of many stretches the first ones."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    texts = [str(a) if a == b else f"{a}-{b}" for a, b in parts]
    return ",".join(texts[:16]) + (f" and {len(texts) - 16} more" if texts[16:] else "")


def _rank_of(file: str) -> int | None:
    """None also for a file that cannot be read: no rank was seen in it."""
    number = named_rank(shown_name(file))
    if number is not None or file == "-":
        return number
    try:
        recorded = _at_end(file) or _in_text(file)
    except TraceAnalyzerError:
        return None
    return rank(recorded, "")


def _at_end(file: str) -> object:
    """Of plain JSON on disk that keeps its metadata behind the events."""
    if not file.endswith(".json") or not os.path.isfile(file):
        return None
    try:
        with open(file, "rb") as text:
            head = text.read(_TAIL)
            text.seek(max(0, os.path.getsize(file) - _TAIL))
            return _distributed(head) or _distributed(text.read(_TAIL))
    except OSError:
        return None


def _in_text(file: str) -> object:
    """By passing over the text, as far as it takes: mostly its first block."""
    held = b""
    with TraceSource(file) as source:
        while text := source.read():
            held += text
            if (recorded := _distributed(held)) is not None:
                return recorded
            match = _DISTRIBUTED.search(held)
            held = held[match.start() :] if match else held[-64:]
            if len(held) > _LONGEST:
                held = b""
    return None


def _distributed(text: bytes) -> object:
    """`distributedInfo`, where the text holds all of it."""
    match = _DISTRIBUTED.search(text)
    if match is None:
        return None
    try:
        object_text = text[match.end() : match.end() + _LONGEST].decode("utf-8", "replace")
        value, _ = json.JSONDecoder().raw_decode(object_text)
    except (ValueError, RecursionError):
        return None
    return value
