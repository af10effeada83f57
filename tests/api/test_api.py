"""The Python face: analyze, DataFrames with the JSON's names, a notebook view."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

import traceanalyzer
from traceanalyzer.records import OpRow
from traceanalyzer.report import render

SAMPLE = Path(__file__).parents[2] / "sample_traces" / "gpt_eager_cpu.json.gz"


@pytest.fixture(scope="module")
def analysis() -> traceanalyzer.Analysis:
    return traceanalyzer.analyze(SAMPLE)


def test_ops_is_the_json_as_a_frame(analysis: traceanalyzer.Analysis) -> None:
    names = [field.name for field in msgspec.structs.fields(OpRow)]
    assert list(analysis.ops.columns) == names
    assert len(analysis.ops) == len(analysis.op_rows)
    assert analysis.ops["attributed_ns"].sum() == analysis.time.busy_ns
    written = json.loads(render(analysis, "json"))
    assert [row["time_ns"] for row in written["ops"]] == analysis.ops["time_ns"].tolist()


def test_kernels_add_up_to_busy_and_to_their_rows(analysis: traceanalyzer.Analysis) -> None:
    kernels = analysis.kernels
    assert kernels["attributed_ns"].sum() == analysis.time.busy_ns
    assert kernels["time_ns"].sum() == analysis.time.kernel_sum_ns
    by_op = kernels.groupby("op")["time_ns"].sum()
    assert by_op.to_dict() == analysis.ops.groupby("name")["time_ns"].sum().to_dict()


def test_a_device_can_be_named(analysis: traceanalyzer.Analysis) -> None:
    assert analysis.device.how == "calibrated"
    with pytest.raises(traceanalyzer.DeviceError, match="--device"):
        traceanalyzer.analyze(SAMPLE, device="no such part")


def test_the_notebook_view_is_self_contained(analysis: traceanalyzer.Analysis) -> None:
    html = analysis._repr_html_()
    assert "memory-bound" in html
    assert "http://" not in html.replace("http://www.w3.org", "") and "<script" not in html


def test_errors_are_one_line_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(traceanalyzer.TraceFormatError, match=r"x\.json: .+ Fix: ") as caught:
        traceanalyzer.analyze(tmp_path / "x.json")
    assert "\n" not in str(caught.value)
