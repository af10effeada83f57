"""Steps that differ, and ranks, stand under each other on one scale."""

from __future__ import annotations

import re

import msgspec
import pytest
from msgspec.structs import replace

from tests.report import dom, example
from tests.report.example_when import timed
from traceanalyzer.report import render
from traceanalyzer.report.jobs import rank_lines
from traceanalyzer.report.lanes import LANES, Lane, rank_lanes, step_lanes
from traceanalyzer.report.strips import HEIGHT


def right_end(lane: Lane) -> float:
    """Where the last of its rectangles ends, of the longest lane."""
    drawn = [re.findall(r"M(\d+) \d+h(\d+)v", part.path) for part in lane.parts]
    return max(int(at) + int(width) for each in drawn for at, width in each) / lane.scale


def area(path: str) -> int:
    return sum(int(width) * int(height) for width, height in re.findall(r"h(\d+)v(\d+)h", path))


def test_a_lane_is_as_long_as_its_step() -> None:
    """Three steps, of which the last takes three times as long."""
    lanes = step_lanes(timed())
    assert [lane.shown for lane in lanes].count(True) == 1
    assert [right_end(lane) for lane in lanes] == pytest.approx([1 / 3, 1 / 3, 1], abs=0.01)


def test_steps_that_are_alike_have_no_lanes() -> None:
    assert step_lanes(timed(example.example_analysis())) == ()


def test_of_many_steps_the_first_are_drawn_and_the_others_counted() -> None:
    analysis = timed()
    assert analysis.step_rows and analysis.step_timelines
    many = msgspec.structs.replace(
        analysis, step_rows=analysis.step_rows * 7, step_timelines=analysis.step_timelines * 7
    )
    assert len(step_lanes(many)) == LANES
    assert f"{21 - LANES} further steps are in the JSON" in dom.parse(render(many, "html")).one("main").text()


def test_the_parts_of_a_rank_fill_its_window() -> None:
    """To a thousandth of the longest: memory-bound, other work, exposed communication, idle."""
    analysis = example.of_ranks()
    lines = rank_lines(analysis)
    for lane, line in zip(rank_lanes(lines), lines, strict=True):
        wide = {part.key: area(part.path) / HEIGHT / lane.scale for part in lane.parts}
        window = line.entry.window_ns
        assert right_end(lane) == pytest.approx(1.0) == pytest.approx(sum(wide.values()))
        assert wide["idle"] == pytest.approx(1 - line.entry.busy_ns / window, abs=0.002)
        assert wide["communication"] == pytest.approx(line.entry.exposed_communication_ns / window, abs=0.002)


def test_a_rank_whose_share_is_unknown_is_drawn_as_work() -> None:
    (line, *others) = rank_lines(example.of_ranks(2))
    entry = msgspec.structs.replace(line.entry, memory_bound_share_of_busy=float("nan"))
    (lane, *_) = rank_lanes([replace(line, entry=entry), *others])
    assert "memory_bound" not in {part.key for part in lane.parts} and right_end(lane) == pytest.approx(1.0)
