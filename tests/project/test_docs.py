"""The docs list every warning a report can give."""

from __future__ import annotations

import re
from pathlib import Path

from traceanalyzer.records.trace import UNLINKED
from traceanalyzer.trace.reading.read_stats import MESSAGES

ROOT = Path(__file__).parents[2]


def test_every_warning_code_is_explained() -> None:
    source = "\n".join(p.read_text() for p in (ROOT / "traceanalyzer").rglob("*.py"))
    codes = set(MESSAGES) | {f"unlinked_{reason}" for reason in UNLINKED}
    codes |= set(re.findall(r'Notice\(\s*"(\w+)"', source))
    codes |= set(re.findall(r'^(?:AGGREGATED|SHORTENED) = "(\w+)"', source, re.MULTILINE))
    text = (ROOT / "docs" / "warnings.md").read_text()
    assert {code for code in codes if f"`{code}`" not in text} == set()
