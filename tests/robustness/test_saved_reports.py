"""A damaged or hostile saved report is shown, or refused in one line; never a traceback."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import traceanalyzer
from tests.robustness.documents import committed
from tests.robustness.mutations import ALL, SEED
from tests.robustness.saved import damaged, report
from traceanalyzer.records.errors import TraceAnalyzerError
from traceanalyzer.report import RENDERERS, render

COUNT = 5000 if ALL else 250
SLOW = ("html", "txt")


def shown(file: Path, *, all_formats: bool) -> bool:
    """Whether the report was read back and is shown in every format; False: refused in one line."""
    try:
        job = traceanalyzer.analyze(file)
    except TraceAnalyzerError as error:
        assert "\n" not in str(error)
        return False
    for name in RENDERERS:
        if all_formats or name not in SLOW:
            assert render(job, name).encode()
    return True


def test_damaged_reports_are_shown_or_refused(tmp_path: Path) -> None:
    file, bases = tmp_path / "report.json", committed()[:2]
    read = 0
    for number in range(COUNT):
        choose = random.Random(f"{SEED} saved {number}")
        file.write_bytes(damaged(report(choose.choice(bases), tmp_path), choose))
        try:
            read += shown(file, all_formats=number % 10 == 0)
        except Exception as error:
            pytest.fail(f"damaged report {number} of seed {SEED}: {type(error).__name__}: {error}")
    assert COUNT / 10 < read < COUNT


@pytest.mark.parametrize(("name", "value", "why"), [
    ("busy_ns", -1, "no figure of a report"),
    ("idle_ns", 10**150, "no figure of a report"),
    ("busy_ns", 5, "do not add up"),
])  # fmt: skip
def test_times_that_cannot_be_are_named(name: str, value: int, why: str, tmp_path: Path) -> None:
    whole = report(committed()[0], tmp_path)
    file = tmp_path / "report.json"
    file.write_bytes(json.dumps({**whole, "time": {**whole["time"], name: value}}).encode())
    with pytest.raises(TraceAnalyzerError, match=why):
        traceanalyzer.analyze(file)
