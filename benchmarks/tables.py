"""Tables that benchmarks write into docs/, between two marks of their name; the text round them stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def write(page: str, name: str, lines: Sequence[str]) -> None:
    """Replaces what stands between `<!-- NAME -->` and `<!-- end of NAME -->` on a page of docs/."""
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"{path}: wants one {begin.strip()} and one {end}")
    inner = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    table = begin + "\n".join(lines) + "\n" + end
    path.write_text(inner.sub(lambda _: table, text), encoding="utf-8")
