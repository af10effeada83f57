"""A report made small says the same: every sum over rows is that of all rows, exactly."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.report import example
from traceanalyzer.records import Analysis, OpRow
from traceanalyzer.report.rows import AGGREGATED, is_sum, shortened, top_rows


def sums(rows: list[OpRow] | tuple[OpRow, ...]) -> dict[tuple[str, str | None], int]:
    """Time by everything a total is made of."""
    told: Counter[tuple[str, str | None]] = Counter()
    for row in rows:
        for key in ("verdict", "bound", "operator_class", "phase", "reason"):
            told[key, getattr(row, key)] += row.attributed_ns
        for key in ("calls", "kernels", "time_ns", "attributed_ns", "flops", "read_bytes", "write_bytes"):
            told["sum", key] += getattr(row, key) or 0
    return dict(told)


@pytest.mark.parametrize("top", [0, 1, 10, 80, 85, 86, 1000])
def test_sums_stay(top: int) -> None:
    analysis = example.example_analysis()
    assert sums(top_rows(analysis, top)) == sums(analysis.op_rows)


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_a_small_report_adds_up_to_busy_time(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    small = shortened(analysis, 7)
    assert sum(r.attributed_ns for r in small.op_rows) == analysis.time.busy_ns
    for part in small.verdicts:
        mine = [r for r in small.op_rows if r.verdict == part.verdict]
        assert sum(r.attributed_ns for r in mine) == part.time_ns


def test_the_largest_rows_stand_first_and_a_warning_counts_the_others() -> None:
    analysis = example.many_rows(500)
    small = shortened(analysis, 20)
    assert [r.module for r in small.op_rows[:20]] == [r.module for r in analysis.op_rows[:20]]
    assert all(is_sum(r) for r in small.op_rows[20:])
    (warning,) = [w for w in small.source.warnings if w.code == AGGREGATED]
    assert warning.count == 480


def test_making_small_again_changes_no_sum_and_counts_rows_once() -> None:
    small = shortened(example.many_rows(500), 20)
    again = shortened(small, 5)
    assert sums(again.op_rows) == sums(small.op_rows)
    assert [w.count for w in again.source.warnings if w.code == AGGREGATED] == [495]
    assert shortened(small, 20) == small


def test_long_names_and_lists_are_cut_and_it_is_said() -> None:
    small = shortened(example.hostile(), 200)
    assert max(len(r.name) for r in small.op_rows) <= 600
    adamw = next(r for r in small.op_rows if r.name == "aten::_fused_adamw_")
    assert adamw.input_dims == ()
    assert "left out" in adamw.note


def test_a_sum_has_an_efficiency_only_where_every_row_has() -> None:
    analysis: Analysis = example.example_analysis()
    for row in top_rows(analysis, 0):
        members = [
            r for r in analysis.op_rows
            if (r.verdict, r.bound, r.operator_class, r.phase, r.reason)
            == (row.verdict, row.bound, row.operator_class, row.phase, row.reason)
        ]  # fmt: skip
        if all(r.efficiency for r in members):
            roof = sum(r.roof_ns or 0 for r in members)
            assert row.efficiency == pytest.approx(roof / sum(r.time_ns for r in members))
        else:
            assert row.efficiency is None
