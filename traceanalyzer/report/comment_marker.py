"""The hidden line by which a comment of ours on a pull request is found again, to be replaced."""

from __future__ import annotations

import re

from traceanalyzer.records.errors import UsageError

_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-)){0,79}")


def comment_marker(key: str) -> str:
    """`<!-- traceanalyze:KEY -->`. UsageError where the key could end the comment or is none."""
    if not _KEY.fullmatch(key):
        fix = "use at most 80 letters, digits, points, underscores and single hyphens"
        raise UsageError(f"{key[:80]!r}: cannot mark a comment", fix=fix)
    return f"<!-- traceanalyze:{key} -->"


def is_marked(text: str, key: str) -> bool:
    """Whether the first or the last line is the marker: a quote of one is not."""
    lines = text.strip().splitlines()
    return bool(lines) and comment_marker(key) in (lines[0].strip(), lines[-1].strip())
