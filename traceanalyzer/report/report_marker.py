"""The mark by which a file is known as our own report of the same trace, and may be replaced."""

from __future__ import annotations

import json
import re

from traceanalyzer.records import Analysis

GENERATOR_MARK = "traceanalyze report"
DIFF_MARK = "traceanalyze diff"
_MARK = re.compile(rf"{GENERATOR_MARK} of ([^\x00-\x1f<>\"]*?)(?: -->|\"|\n|$)")
_HEAD = 4096  # bytes; every format is marked at its head
_UNSAFE = re.compile(r"[^\w.+=,@ -]|--+")


def mark(analysis: Analysis) -> str:
    """`traceanalyze report of step.trace.json.gz`: safe in a comment, an attribute and plain text."""
    return f"{GENERATOR_MARK} of {_safe(file_name(analysis))}"


def file_name(analysis: Analysis) -> str:
    """The trace's name without its folders."""
    return analysis.source.files[0].path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def is_own_report(content: bytes, trace_name: str | None = None) -> bool:
    """Whether `content` (its head is enough) was written by us, and about `trace_name` where one is given.

    A CSV carries no mark and is never taken for ours.
    """
    head = content[:_HEAD].decode("utf-8", "replace")
    mark = _MARK.search(head)
    if mark:
        name = mark.group(1)
    elif head.lstrip().startswith("{") and '"schema_version"' in head and '"tool"' in head:
        path = re.search(r'"path":\s*("(?:[^"\\]|\\.)*")', head)
        name = _safe(json.loads(path.group(1)).replace("\\", "/").rsplit("/", 1)[-1]) if path else ""
    else:
        return False
    return trace_name is None or name == _safe(trace_name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])


def is_own_diff(content: bytes) -> bool:
    """Whether `content` (its head is enough) is a page of `diff`, whose default name says of what."""
    return f'<meta name="generator" content="{DIFF_MARK} '.encode() in content[:_HEAD]


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)[:200].strip()
