"""What each warning's code means, of docs/warnings.md: its one home, which the wheel ships."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from traceanalyzer.report.assets import asset_dir

_ROW = re.compile(r"\| ((?:`\w+`(?:, )?)+) \| (.+) \|")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_END = re.compile(r"[:;.](?= )| \(")


@lru_cache(maxsize=1)
def warning_texts() -> Mapping[str, str]:
    """Code -> what it means, as plain text."""
    text = (asset_dir("docs") / "warnings.md").read_text(encoding="utf-8")
    rows = (row for row in map(_ROW.fullmatch, text.splitlines()) if row is not None)
    return {
        code: _LINK.sub(r"\1", row[2]).replace("`", "") for row in rows for code in re.findall(r"\w+", row[1])
    }


def warning_line(code: str) -> str:
    """The first clause of what it means; the code where it is none of ours."""
    text = warning_texts().get(code, code)
    end = _END.search(text)
    return text[: end.start()] if end else text
