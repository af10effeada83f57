"""A list that is cut says how much is left out, and where that is; one that is whole says nothing."""

from __future__ import annotations

import re

import msgspec
import pytest

from tests.report import example
from tests.report.test_change_order import suggestion
from traceanalyzer.records import Job, Notice
from traceanalyzer.report import render
from traceanalyzer.report.notebook import notebook
from traceanalyzer.report.terminal import summary
from traceanalyzer.report.view import view_of


def with_lists(changes: int, warnings: int, untimed: int = 0) -> Job:
    """So many changes, some of which have no time, and so many warnings."""
    listed = [suggestion(f"rule_{at}", 1e6, 2e6, 0.1) for at in range(changes)]
    listed += [suggestion(f"untimed_{at}", 0.0, 0.0, None) for at in range(untimed)]
    analysis = example.example_analysis(suggestions=tuple(listed))
    notices = tuple(Notice(f"code_{at}", "something to know") for at in range(warnings))
    return msgspec.structs.replace(
        analysis, source=msgspec.structs.replace(analysis.source, warnings=notices)
    )


def said(text: str, what: str) -> int:
    """How many more there are by its own words."""
    lines = re.findall(r"On the page \(-o report\.html\): ((?:, |[\d,]+ more \w+)+)", text)
    match = re.search(rf"\b([\d,]+) more {what}s?\b", " ".join(lines))
    return int(match[1].replace(",", "")) if match else 0


@pytest.mark.parametrize(("changes", "untimed"), [(0, 0), (1, 0), (3, 0), (4, 0), (3, 1), (0, 2), (14, 2)])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_counts_what_it_does_not_list(changes: int, untimed: int, width: int) -> None:
    text = re.sub(r"\s+", " ", summary(with_lists(changes, 5, untimed), width=width).replace("\n", " "))
    listed = len(re.findall(r" \((?:rule|untimed)_\d+\)", text))
    assert listed == min(changes, 3)
    assert said(text, "change") == changes + untimed - listed
    assert said(text, "warning") == 5 - len(re.findall(r"warning code_\d", text)) == 2


def test_a_terminal_counts_the_rows_that_it_does_not_list() -> None:
    analysis = with_lists(1, 0)
    layers_as_one = view_of(analysis, 10_000)
    left = re.search(
        r"([\d,]+) more rows; all: -o report\.csv", re.sub(r"\s+", " ", summary(analysis, top=2))
    )
    assert left is not None and int(left[1]) == len(layers_as_one.lines) - 2 > 0
    assert render(analysis, "csv").count("\naten::mm,") > sum(
        "aten::mm" in line.name for line in layers_as_one.lines
    )
    assert "more row" not in summary(analysis, top=1000)


@pytest.mark.parametrize(("changes", "warnings"), [(1, 1), (10, 20), (11, 21), (14, 33)])
def test_markdown_counts_what_it_does_not_list(changes: int, warnings: int) -> None:
    text = render(with_lists(changes, warnings), "md")
    # In Markdown a line behind a list that is no item of it is a paragraph: a blank line before.
    assert said(text, "change") == max(0, changes - 10) and said(text, "warning") == max(0, warnings - 20)
    for what in ("change", "warning"):
        assert not said(text, what) or re.search(rf"\n\nOn the page [^\n]*more {what}", text)


@pytest.mark.parametrize("changes", [3, 4, 9])
def test_a_notebook_counts_what_it_does_not_list(changes: int) -> None:
    assert said(notebook(with_lists(changes, 0)), "change") == changes - 3
