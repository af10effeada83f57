"""The text of a comment: at most 60,000 characters, its marker once, as the last line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from traceanalyzer.records import Analysis, Check, Comparison, Requirement
from traceanalyzer.report import diff_markdown, markdown
from traceanalyzer.report.check import text as told
from traceanalyzer.report.comment_marker import comment_marker
from traceanalyzer.report.markdown import LIMIT, OMITTED, prose
from traceanalyzer.report.sanitize import cut

_FOR_THE_END = 2_000  # characters of links and marker
_MOST_REQUIREMENTS = 30
_URL = re.compile(r"https?://[^\s()<>\[\]\"\\]{1,500}")
_OUTCOMES = {"holds": "holds", "broken": "**broken**", "inconclusive": "cannot be told"}


def body(analysis: Analysis, comparison: Comparison | None, result: Check | None) -> str:
    """The comparison where there is one, else the report; after the first line what was required."""
    required = _requirements(result.requirements) if result is not None else ""
    limit = LIMIT - _FOR_THE_END - len(required)
    if comparison is not None:
        text = diff_markdown.render(comparison, limit=limit)
    else:
        text = markdown.render(analysis, limit=limit)
    first, gap, rest = text.partition("\n\n")
    return f"{first}{gap}{required}{rest}"


def _requirements(requirements: Sequence[Requirement]) -> str:
    shown = requirements[:_MOST_REQUIREMENTS]
    lines = [f"* {_OUTCOMES[each.outcome]}: {prose(cut(told(each), 400))}\n" for each in shown]
    more = len(requirements) - len(shown)
    return "".join(lines) + (f"* {more} more\n" if more else "") + "\n"


def finished(text: str, key: str, links: Mapping[str, str] | None = None) -> str:
    """`text` with links to its pages and the marker of `key`; what is too long is cut."""
    marker = comment_marker(key)
    good = {name: url for name, url in (links or {}).items() if _URL.fullmatch(url)}
    line = " · ".join(f"[{name}]({url})" for name, url in good.items())
    end = f"\n{line}\n\n{marker}\n" if line else f"\n{marker}\n"
    kept = "\n".join(each for each in text.splitlines() if each.strip() != marker).rstrip()
    return f"{_cut(kept, LIMIT - len(end) - 1)}\n{end}"


def _cut(text: str, limit: int) -> str:
    """Whole paragraphs, as many as fit; what is folded is closed again."""
    if len(text) <= limit:
        return text
    room = limit - len(OMITTED) - 200
    kept = text[:room].rpartition("\n\n")[0] or text[:room]
    opened = kept.count("<details>") - kept.count("</details>")
    return f"{kept}\n{'</details>' * min(max(opened, 0), 10)}\n{OMITTED}"
