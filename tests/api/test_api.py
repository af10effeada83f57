"""The Python face: analyze, DataFrames with the JSON's names, a notebook view."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from tests.report import example
from traceanalyzer.records import OpRow
from traceanalyzer.records.units import duration
from traceanalyzer.report import render
from traceanalyzer.report.view import view_of

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


ROWS = {"ops": "op_rows", "steps": "step_rows", "modules": "module_rows", "functions": "function_rows",
        "waits": "wait_rows"}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_frame_has_the_json_s_names_and_a_line_a_record(
    name: str, analysis: traceanalyzer.Analysis
) -> None:
    written = json.loads(render(analysis, "json"))[name] or []
    frame, rows = getattr(analysis, name), getattr(analysis, ROWS[name]) or ()
    assert len(frame) == len(rows) == len(written)
    assert not written or list(frame.columns) == list(written[0])
    for column in frame.columns[frame.dtypes == "int64"]:
        assert frame[column].tolist() == [each[column] for each in written], column


def test_frames_add_up_to_the_window_to_busy_and_to_idle(tmp_path: Path) -> None:
    job = traced_with_stacks(tmp_path)
    assert job.steps["device_ns"].sum() == job.window.window_ns
    assert job.modules["self_ns"].sum() == job.functions["time_ns"].sum() == job.time.busy_ns
    assert job.waits["time_ns"].sum() == job.time.idle_ns
    assert list(job.modules["class"].dropna()) != [] and job.functions["function"].notna().any()


def traced_with_stacks(tmp_path: Path) -> traceanalyzer.Job:
    """A step of 1 ms: 300 µs in a module, launched by a function; 50 µs by none of either."""
    t = Kineto()
    t.annotation("ProfilerStep#1", 0, 1000)
    t.python("train.py(3): step", 5, 200)
    t.python("nn.Module: Linear_0", 10, 100)
    t.run("aten::add", 20, "inside", 40, 300, ([4096], "float"), ([4096], "float"))
    t.run("aten::mul", 400, "outside", 450, 50, ([4096], "float"), ([4096], "float"))
    return traceanalyzer.analyze(t.write(tmp_path / "stacks.json"))


def test_what_the_trace_does_not_say_is_an_empty_frame_with_its_columns() -> None:
    analysis = example.without_steps()
    for name in ("steps", "modules", "functions"):
        frame = getattr(analysis, name)
        assert frame.empty and len(frame.columns) > 4, name


def test_pictures_are_svg_images_that_stand_alone(analysis: traceanalyzer.Analysis) -> None:
    for picture in (analysis.roofline(), analysis.timeline()):
        assert picture._repr_svg_() == picture
        tree = ElementTree.fromstring(picture)
        assert tree.tag == "{http://www.w3.org/2000/svg}svg" and tree.get("width") == "1072"
        assert "http" not in picture.replace("http://www.w3.org/2000/svg", "") and "<script" not in picture
        style = next(tree.iter("{http://www.w3.org/2000/svg}style")).text or ""
        used = set(re.findall(r"var\((--\w+)\)", style)) - {"--c"}
        assert used == set(re.findall(r"(--\w+):#", style)), "each color is defined inside"
    assert analysis.roofline() == render(analysis, "svg")


def test_the_timeline_is_the_page_s_strip_with_its_length(analysis: traceanalyzer.Analysis) -> None:
    page, picture = render(analysis, "html"), analysis.timeline()
    paths = re.findall(r'<path class="(\w+)" d="(M[^"]+z)"><title>', picture)
    assert paths and all(f'<path class="{key}" d="{path}">' in page for key, path in paths)
    assert {key for key, _ in paths} <= set(re.findall(r"\.(\w+)(?=[,{])", picture)), "each has a color"
    shown = sorted(analysis.step_rows or (), key=lambda step: step.length_ns)[1]
    assert f">{duration(shown.device_ns)}</text>" in picture


def test_a_report_without_a_timeline_says_so() -> None:
    with pytest.raises(traceanalyzer.UsageError, match=r"no timeline. Fix: ") as refused:
        example.example_analysis().timeline()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_an_analysis_is_told_in_three_lines(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    lines = repr(analysis).splitlines()
    assert len(lines) == 3
    view = view_of(analysis, 0)
    assert view.file in lines[0] and view.subject in lines[0]
    assert lines[1].strip().startswith(view.headline.lead)
    if "memory-bound" in lines[1] and any("memory roof" in each for each in view.headline.more):
        assert "memory roof" in lines[1], "never without how much of it runs at the memory roof"
    changes = [each for each in view.suggestions or () if each.has_saving]
    assert not changes or (changes[0].imperative in lines[2] and changes[0].saving in lines[2])
    assert changes or lines[2].startswith(" Changes: ")
