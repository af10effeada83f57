"""The critical path in every format that people read."""

from __future__ import annotations

import html

import msgspec
import pytest

from tests.report import example
from traceanalyzer.report import read_back, render


def shown(text: str) -> str:
    """On one line."""
    return " ".join(html.unescape(text).replace("\u200b", "").split())


@pytest.mark.parametrize("name", ["html", "md", "txt"])
def test_it_is_named_as_its_step_is(name: str) -> None:
    assert "ritical path of ProfilerStep#5: 22.1 ms of 26.7 ms" in shown(render(example.with_path(), name))


@pytest.mark.parametrize("name", ["html", "md", "txt"])
def test_nothing_is_said_where_it_was_not_asked_for(name: str) -> None:
    assert "ritical path of" not in shown(render(example.with_suggestions(), name))


def test_a_row_says_what_shortening_it_gives_at_most() -> None:
    text = render(example.with_path(), "md")
    assert "| `aten::add blocks.0.mlp` | memory-bound | 40 | 12.0 ms | 9.00 ms |" in text


def test_it_is_read_back_as_it_was() -> None:
    analysis = example.with_path()
    assert read_back(render(analysis, "json").encode()).critical_path == analysis.critical_path


def test_one_that_does_not_add_up_is_refused() -> None:
    path = msgspec.structs.replace(example.critical_path(), length_ns=1)
    wrong = msgspec.structs.replace(example.with_path(), critical_path=path)
    with pytest.raises(ValueError, match="critical path does not add up"):
        read_back(render(wrong, "json").encode())
