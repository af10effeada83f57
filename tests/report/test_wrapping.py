"""A number and its unit stay on one line of a terminal."""

from __future__ import annotations

import pytest

from traceanalyzer.report.wrapping import wrapped


@pytest.mark.parametrize(
    "quantity", ["75.3 %", "12 ms", "12 s", "5.30 TB/s", "1.31 PFLOP/s", "640 µs", "3 GB"]
)
def test_no_line_ends_between_a_number_and_its_unit(quantity: str) -> None:
    text = f"most of the rest takes {quantity}, and words follow"
    for width in range(15, 60):
        lines = wrapped(text, width)
        assert any(quantity in line for line in lines) and " ".join(lines) == text
        assert all(len(line) <= width for line in lines)


def test_a_number_before_a_word_is_no_quantity() -> None:
    assert wrapped("all 12 seconds", 7) == ["all 12", "seconds"]
    assert wrapped("", 20) == [""]
