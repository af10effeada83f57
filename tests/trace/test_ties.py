"""Kernels without a correlation are linked by what the trace does say: ids on both rows, flows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import traceanalyzer
from tests.files import loaded
from tests.trace.build import link_names
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records.trace import UNLINKED
from traceanalyzer.report.sentence import verdict_sentence

MM = {"Input Dims": [[256, 4096], [4096, 512]], "Input type": ["c10::BFloat16", "c10::BFloat16"]}


def rows(*, ids: bool, flows: bool, op_ids: bool = False, count: int = 5) -> list[dict[str, Any]]:
    """Products on a host, 100 µs apart, and two kernels of 20 and 5 µs for each of them."""
    made: list[dict[str, Any]] = []
    for i in range(count):
        at = 1000 + 100 * i
        made.append({"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 9, "tid": 9, "ts": at, "dur": 40,
                     "args": {"External id": 900 + i, **MM}})  # fmt: skip
        for place, name in ((10, "Cijk_main"), (50, "Cijk_post")):
            number, start = 100 + 2 * i + (place == 50), at + place
            launched = at + (5 if place == 10 else 15)
            tie = {"External id": number if not op_ids else 900 + i} if ids or op_ids else {}
            made += [
                {"ph": "X", "cat": "cuda_runtime", "name": "hipExtModuleLaunchKernel", "pid": 9, "tid": 9,
                 "ts": launched, "dur": 2, "args": {} if op_ids else tie},
                {"ph": "X", "cat": "kernel", "name": name, "pid": 2, "tid": 0, "ts": start,
                 "dur": 20 if place == 10 else 5, "args": tie},
            ]  # fmt: skip
            if flows:
                made += [
                    {"ph": "s", "cat": "ac2g", "id": number, "pid": 9, "tid": 9, "ts": launched},
                    {"ph": "f", "cat": "ac2g", "id": number, "pid": 2, "tid": 0, "ts": start},
                ]  # fmt: skip
    return made


def trace_file(folder: Path, made: list[dict[str, Any]]) -> str:
    file = folder / "trace.json"
    file.write_text(json.dumps({"traceEvents": made}))
    return str(file)


@pytest.mark.parametrize(
    "ties", [{"ids": True, "flows": True}, {"ids": True, "flows": False}, {"ids": False, "flows": True},
             {"ids": False, "flows": False, "op_ids": True}],
)  # fmt: skip
def test_every_kernel_finds_its_product(ties: dict[str, bool], tmp_path: Path) -> None:
    file = trace_file(tmp_path, rows(**ties))
    trace = loaded(file)
    assert len(trace.kernels) == 10 and (trace.kernels.unlinked < 0).all()
    started = trace.ops.start_ns[trace.kernels.op]
    assert (started // 100_000 == trace.kernels.start_ns // 100_000).all()
    analysis = traceanalyzer.analyze(file, options=AnalyzeOptions(device="mi300x"))
    assert [(row.name, row.calls, row.time_ns) for row in analysis.op_rows] == [("aten::mm", 5, 125_000)]
    assert analysis.op_rows[0].flops == 5 * 2 * 256 * 4096 * 512


def test_nothing_ties_and_to_record_the_cpu_would_not_help(tmp_path: Path) -> None:
    file = trace_file(tmp_path, rows(ids=False, flows=False))
    trace = loaded(file)
    assert {UNLINKED[code] for code in trace.kernels.unlinked.tolist()} == {"no_correlation"}
    analysis = traceanalyzer.analyze(file, options=AnalyzeOptions(device="mi300x"))
    assert "operators_unlinked" in {notice.code for notice in analysis.source.warnings}
    assert "ecord CPU activity" not in verdict_sentence(analysis)


def test_without_operators_recording_the_cpu_is_the_advice(tmp_path: Path) -> None:
    kernels = [row for row in rows(ids=False, flows=False) if row["cat"] == "kernel"]
    analysis = traceanalyzer.analyze(trace_file(tmp_path, kernels), options=AnalyzeOptions(device="mi300x"))
    assert "Record CPU activity too" in verdict_sentence(analysis)


def together(streams: tuple[int, ...], flow_to: tuple[int, ...], **args: Any) -> list[dict[str, Any]]:
    """A product and a sum whose kernels start at one moment; flows 7 and 8 say which is whose."""
    made: list[dict[str, Any]] = []
    for i, name in enumerate(("aten::mm", "aten::add")):
        at = 100 + 50 * i
        made += [
            {"ph": "X", "cat": "cpu_op", "name": name, "pid": 9, "tid": 9, "ts": at, "dur": 20, "args": {}},
            {"ph": "X", "cat": "cuda_runtime", "name": "hipLaunchKernel", "pid": 9, "tid": 9, "ts": at + 5,
             "dur": 2, "args": {}},
            {"ph": "s", "cat": "ac2g", "id": 7 + i, "pid": 9, "tid": 9, "ts": at + 5},
            {"ph": "X", "cat": "kernel", "name": f"of {name}", "pid": 2, "tid": streams[i], "ts": 300,
             "dur": 10 + i, "args": args},
            {"ph": "f", "cat": "ac2g", "id": 7 + i, "pid": 2, "tid": flow_to[i], "ts": 300},
        ]  # fmt: skip
    return made


def linked(folder: Path, made: list[dict[str, Any]]) -> dict[str, str | None]:
    return link_names(loaded(trace_file(folder, made)))


def test_kernels_that_start_together_are_told_apart_by_their_streams(tmp_path: Path) -> None:
    made = together((7, 8), (7, 8))
    assert linked(tmp_path, made) == {"of aten::mm": "aten::mm", "of aten::add": "aten::add"}
    assert linked(tmp_path, made[::-1]) == {"of aten::mm": "aten::mm", "of aten::add": "aten::add"}


@pytest.mark.parametrize(("streams", "flow_to"), [((7, 7), (7, 7)), ((7, 8), (0, 0))])
def test_where_streams_do_not_tell_them_apart_neither_is_linked(
    streams: tuple[int, int], flow_to: tuple[int, int], tmp_path: Path
) -> None:
    assert linked(tmp_path, together(streams, flow_to)) == {"of aten::mm": None, "of aten::add": None}


def test_a_flow_to_a_thread_that_is_no_stream_finds_the_one_kernel_there(tmp_path: Path) -> None:
    made = together((7, 8), (70, 80))
    for each in made[-2:]:
        each["ts"] = 400
    assert linked(tmp_path, made) == {"of aten::mm": "aten::mm", "of aten::add": "aten::add"}


def test_calls_that_begin_together_are_of_one_operator(tmp_path: Path) -> None:
    """In whole microseconds a query (flow 6) and a launch begin at once."""
    place = {"pid": 9, "tid": 9, "ts": 105}
    asked: list[dict[str, Any]] = [
        {"ph": "X", "cat": "cuda_runtime", "name": "hipGetDevice", "dur": 0, "args": {}, **place},
        {"ph": "s", "cat": "ac2g", "id": 6, **place},
    ]
    truth = {"of aten::mm": "aten::mm", "of aten::add": "aten::add"}
    assert linked(tmp_path, asked + together((7, 8), (7, 8))) == truth
    assert linked(tmp_path, together((7, 8), (7, 8)) + asked) == truth


def op(name: str, ts: float, number: int) -> dict[str, Any]:
    return {"ph": "X", "cat": "cpu_op", "name": name, "pid": 9, "tid": 9, "ts": ts, "dur": 20,
            "args": {"External id": number}}  # fmt: skip


def call(ts: float, **args: int) -> dict[str, Any]:
    args = {name.replace("external", "External id"): value for name, value in args.items()}
    row: dict[str, Any] = {"ph": "X", "cat": "cuda_runtime", "name": "hipLaunchKernel", "pid": 9, "tid": 9}
    return row | {"ts": ts, "dur": 2, "args": args}


def kernel(name: str, ts: float, **args: int) -> dict[str, Any]:
    return call(ts, **args) | {"cat": "kernel", "name": name, "pid": 2, "tid": 0}


def test_no_operator_launched_what_started_before_it(tmp_path: Path) -> None:
    """Two operators have the id 40; a kernel is of the one that began last before it."""
    made = [
        op("aten::mm", 200, 40), op("aten::add", 400, 40), op("aten::relu", 600, 41),
        kernel("early", 100, external=40), kernel("between", 300, external=40),
        kernel("late", 500, external=40), kernel("correlated", 550, external=41, correlation=9),
        call(580, correlation=3), kernel("launched before", 700, external=41, correlation=3),
    ]  # fmt: skip
    assert linked(tmp_path, made) == {
        "early": None, "between": "aten::mm", "late": "aten::add", "correlated": None, "launched before": None
    }  # fmt: skip


def test_numbers_of_calls_are_no_operators(tmp_path: Path) -> None:
    """Ids 5 and 6 are a tracer's; its launch 5 lies in the sum, and both ids are operators' too."""
    made = [
        op("aten::mm", 100, 5), op("aten::relu", 130, 6), op("aten::add", 200, 7), call(205, external=5),
        call(250, external=8), kernel("of the sum", 300, external=5), kernel("not launched", 320, external=6),
        kernel("of no operator", 340, external=8), op("aten::t", 260, 8),
    ]  # fmt: skip
    truth = {"of the sum": "aten::add", "not launched": None, "of no operator": None}
    assert linked(tmp_path, made) == truth
    correlated = [call(210, correlation=1), kernel("correlated", 400, correlation=1)]
    assert linked(tmp_path, made + correlated) == truth | {"correlated": "aten::add"}


def test_a_correlation_is_not_anothers_external_id(tmp_path: Path) -> None:
    """No launch has a correlation: the kernel of correlation 5 lost its own, and launch 5 is another's."""
    made = [
        op("aten::add", 200, 7), call(205, external=5), kernel("of the sum", 300, external=5),
        kernel("launch lost", 400, correlation=5),
    ]  # fmt: skip
    assert linked(tmp_path, made) == {"of the sum": "aten::add", "launch lost": None}
