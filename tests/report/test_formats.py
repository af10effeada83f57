"""CSV, Markdown, SVG, terminal text; the marks in them; and reports without private names."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree

import msgspec
import pytest

from tests.report import example
from traceanalyzer.records import Analysis, OpRow
from traceanalyzer.report import RENDERERS, is_own_report, redacted, render
from traceanalyzer.report.layers import merged
from traceanalyzer.report.markdown import LIMIT, cell, code, prose
from traceanalyzer.report.terminal import summary

CASES = pytest.mark.parametrize("name", example.EVERY_CASE)
SVG = "{http://www.w3.org/2000/svg}"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@CASES
def test_csv_has_every_row_under_the_jsons_names(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    text = render(analysis, "csv")
    assert text.splitlines()[0].split(",") == [f.name for f in msgspec.structs.fields(OpRow)]
    rows = rows_of(text)
    assert len(rows) == len(analysis.op_rows)
    for told, row in zip(rows, analysis.op_rows, strict=True):
        assert int(told["attributed_ns"]) == row.attributed_ns
        assert told["efficiency"] == ("" if row.efficiency is None else repr(row.efficiency))
        assert told["flags"].split() == list(row.flags)
        kernels = [msgspec.structs.asdict(k) for k in row.kernel_names]
        assert json.loads(told["kernel_names"]) == kernels


def test_no_csv_cell_is_a_formula() -> None:
    for row in rows_of(render(example.hostile(), "csv")):
        for value in row.values():
            assert not value.lstrip().startswith(("=", "+", "@")), value
            assert not re.match(r"\s*-[^\d]", value), value


def columns_of(line: str) -> int:
    """Cells of a table line: a pipe after a backslash is text, also inside a code span."""
    return len(re.findall(r"(?<!\\)\|", line)) - 1


@CASES
def test_markdown_tables_are_whole(name: str) -> None:
    width = 0
    for line in render(example.EVERY_CASE[name](), "md").splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or columns_of(line)
        assert columns_of(line) == width, line


@CASES
def test_markdown_says_the_sentence_and_stays_short(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    text = render(analysis, "md")
    assert len(text) < 20_000
    assert text.startswith("<!-- traceanalyze report of ")
    assert text.count("<details>") == text.count("</details>") >= 3


def test_markdown_stays_under_the_limit_whatever_is_asked_for() -> None:
    analysis = example.many_rows(3000)
    assert LIMIT <= 60_000
    assert len(render(analysis, "md", top=3000)) <= LIMIT
    assert len(render(msgspec.structs.replace(analysis, ranks=example.of_ranks(4096).ranks), "md")) <= LIMIT


def test_nothing_from_a_trace_acts_in_markdown() -> None:
    text = render(example.hostile(), "md")
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)  # without code spans
    ours = {"details", "summary"}
    assert {t.strip("/") for t in re.findall(r"<(/?\w+)", outside)} <= ours
    assert not re.search(r"(?<!&)[@#]\w", outside)
    assert outside.count("<!--") == 1
    assert not re.search(r"https?://", outside)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a|b", "`a\\|b`"), ("", ""), ("x`y", "``x`y``"), ("`x`", "`` `x` ``"), ("a\nb", "`a b`"),
        ("``` fence", "```` ``` fence ````"), ("a\\|b", "`a\u29f5\\|b`"),
    ],
)  # fmt: skip
def test_code_in_a_table_cell(raw: str, shown: str) -> None:
    assert cell(raw) == shown


def test_code_outside_a_table_keeps_its_pipes() -> None:
    assert code("a|b") == "`a|b`"


def test_prose_neither_mentions_nor_refers() -> None:
    assert prose("@bob fixes #12 <b> *x* https://e.org") == (
        "@&#8203;bob fixes #&#8203;12 &lt;b&gt; \\*x\\* https&#8203;://e.org"
    )


@pytest.mark.parametrize(
    "text", ["@all", "#1", "!2", "~3", "%4", "&5", "$6", "^alert#7", '%"8"', "GH-9", ":fire:", "a::x::b"]
)
def test_no_reference_of_a_platform_survives_in_prose(text: str) -> None:
    """GitHub and GitLab look for them in the text that is shown, except where GitLab sees a backslash."""
    shown = html.unescape(prose(text))
    assert not re.search(rf"(?<!\\){re.escape(text)}", shown)
    assert re.sub(r"[\\\u200b]", "", shown) == text


@CASES
def test_the_image_is_whole_and_refers_to_nothing(name: str) -> None:
    text = render(example.EVERY_CASE[name](), "svg")
    tree = ElementTree.fromstring(text)
    assert tree.tag == f"{SVG}svg"
    assert "prefers-color-scheme:dark" in text
    for node in tree.iter():
        assert node.tag.removeprefix(SVG) not in ("script", "image", "a", "use", "foreignObject")
        assert not [a for a in node.attrib if a.startswith("on") or a.endswith("href") or a == "style"]
    assert render(example.EVERY_CASE[name](), "svg") == text


def points(analysis: Analysis) -> list[ElementTree.Element]:
    tree = ElementTree.fromstring(render(analysis, "svg"))
    groups = [g for g in tree.iter(f"{SVG}g") if g.get("class", "").startswith("point ")]
    return [g for g in groups if g.find(f"{SVG}title") is not None]  # those of the legend have none


def test_every_point_lies_inside_and_says_what_it_is() -> None:
    marks = points(example.example_analysis())
    rows = [r for r in merged(example.example_analysis()).op_rows if r.intensity is not None]
    assert len(marks) == sum(r.verdict not in ("communication", "copy") for r in rows)
    for mark in marks:
        title, path = mark.find(f"{SVG}title"), mark.find(f"{SVG}path")
        assert title is not None and path is not None and title.text
        x, y = map(float, re.findall(r"-?[\d.]+", path.get("d", ""))[:2])
        assert 0 <= x <= 1072 and 0 <= y <= 560


def test_a_point_on_its_roof_is_drawn_on_the_roof() -> None:
    """Efficiency 1 at an intensity below the ridge: the mark's center lies on the memory roof."""
    from traceanalyzer.report.chart import chart
    from traceanalyzer.report.view import view_of

    base = example.example_analysis().op_rows
    row = next(r for r in base if r.verdict == "memory_bound" and r.flops and r.efficiency)
    far = next(r for r in base if r.verdict == "compute_bound" and r.engine == "matrix")
    exact = msgspec.structs.replace(row, roof_ns=float(row.time_ns), efficiency=1.0, flags=())
    bandwidth = 3.35e12
    moved = int(row.time_ns * 1e-9 * bandwidth)
    exact = msgspec.structs.replace(
        exact, read_bytes=moved, write_bytes=0, flops=moved * 2, intensity=2.0, attributed_ns=row.time_ns
    )
    analysis = example.analysis_of([exact, far])
    view = view_of(analysis, 10)
    drawn = chart(analysis, view.rows, view.lines)
    point = next(p for p in drawn.points if p.verdict == "memory_bound")
    slope = drawn.slope
    assert slope is not None
    left = 150.0
    on_roof = slope.start_y + (slope.end_y - slope.start_y) * (point.x - left) / (slope.end_x - left)
    assert point.y == pytest.approx(on_roof, abs=0.6)
    assert not point.above


def test_a_row_without_flops_stands_at_its_bytes_per_second_on_the_strips_own_axis() -> None:
    from traceanalyzer.report.chart import chart
    from traceanalyzer.report.lines import bytes_of, measured_ns
    from traceanalyzer.report.view import view_of

    powers = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
    analysis = example.example_analysis()
    view = view_of(analysis, 500)
    drawn = chart(analysis, view.rows, view.lines)
    axis = []
    for tick in drawn.strip_ticks:
        digits, _, unit = tick.label.partition(" ")
        axis.append((tick.at, math.log10(float(digits)) + powers[unit]))
    (low_y, low), (high_y, high) = axis[0], axis[-1]
    of_number = {line.number: row for row, line in zip(view.rows, view.lines, strict=True)}
    moves = [point for point in drawn.points if of_number[point.number].flops == 0]
    assert moves and high > low
    for point in moves:
        row = of_number[point.number]
        rate = (bytes_of(row) or 0) * 1e9 / measured_ns(row)
        expected = low_y + (math.log10(rate) - low) / (high - low) * (high_y - low_y)
        assert point.y == pytest.approx(expected, abs=0.3)
        assert 44 <= point.x <= 104


def test_points_above_their_roof_are_flagged_where_they_are() -> None:
    from traceanalyzer.report.chart import chart
    from traceanalyzer.report.view import view_of

    analysis = example.example_analysis()
    view = view_of(analysis, 500)
    drawn = chart(analysis, view.rows, view.lines)
    over = [r for r in analysis.op_rows if (r.efficiency or 0) > 1]
    assert len(drawn.flagged) == len(over) == 2
    assert drawn.below == 0


@CASES
def test_the_summary_fits_a_terminal(name: str) -> None:
    text = summary(example.EVERY_CASE[name](), width=80, color=False)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 44
    assert "\x1b" not in text
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def test_the_summary_names_verdicts_rows_coverage_and_device() -> None:
    text = summary(example.example_analysis())
    for word in ("memory-bound", "compute-bound", "idle", "aten::_fused_adamw_", 
                 "95.5 % of kernel time modelled",
                 "NVIDIA H100", "clipped", "7.21 ms", "36.9 %"):  # fmt: skip
        assert word in text
    largest = merged(example.example_analysis()).op_rows[:5]
    rows = text.split("operator\n", 1)[1]
    assert rows.count("aten::mm") == sum(row.name == "aten::mm" for row in largest)
    assert len(summary(example.example_analysis(), top=12).splitlines()) == len(text.splitlines()) + 7


def test_color_only_adds_color() -> None:
    plain = summary(example.with_suggestions())
    colored = summary(example.with_suggestions(), color=True)
    stripped = re.sub(r"\x1b\[[\d;]*m", "", colored)
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()
    assert stripped != colored


def test_every_format_is_there_and_others_are_refused() -> None:
    assert {"html", "md", "json", "csv", "svg", "txt"} <= set(RENDERERS)
    for name, renderer in RENDERERS.items():
        assert renderer(example.example_analysis()) == render(example.example_analysis(), name)
    with pytest.raises(ValueError, match="pdf"):
        render(example.example_analysis(), "pdf")


@pytest.mark.parametrize("format_name", ["html", "md", "json", "svg", "txt"])
@pytest.mark.parametrize("case", ["training", "hostile"])
def test_our_own_report_of_the_same_trace_is_known_by_its_head(format_name: str, case: str) -> None:
    analysis = example.EVERY_CASE[case]()
    head = render(analysis, format_name).encode()[:4096]
    path = analysis.source.files[0].path
    assert is_own_report(head)
    assert is_own_report(head, path)
    assert not is_own_report(head, "other.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><title>mine</title>", b"\xff\x00", b'{"schemaVersion": 1, "traceEvents": []}',
     render(example.example_analysis(), "csv").encode()],
    ids=["empty", "page", "bytes", "trace", "csv"],
)  # fmt: skip
def test_other_files_are_not_ours(content: bytes) -> None:
    assert not is_own_report(content)


@pytest.mark.parametrize("format_name", list(RENDERERS))
def test_a_redacted_report_shows_no_folder_host_or_user(format_name: str) -> None:
    analysis = example.hostile()
    file = msgspec.structs.replace(
        analysis.source.files[0], path="/home/alice/runs/gpu-node-17_4211.1718.pt.trace.json"
    )
    recording = example.example_analysis().recording
    assert recording is not None
    recording = msgspec.structs.replace(
        recording, command="train.py --user alice --log alice@gpu-node-17:/scratch/alice/x"
    )
    private = msgspec.structs.replace(
        analysis, source=msgspec.structs.replace(analysis.source, files=(file,)), recording=recording,
        ranks=example.of_ranks().ranks,
    )  # fmt: skip
    shown = redacted(private)
    text = render(shown, format_name)
    for word in ("alice", "gpu-node-17", "/home", "secret/"):
        assert word not in text
    assert shown.memory_bound == analysis.memory_bound
    assert [r.attributed_ns for r in shown.op_rows] == [r.attributed_ns for r in analysis.op_rows]
    assert "kernel.cu" in render(shown, "json")


@pytest.mark.parametrize(
    "name", ["aten::add/x", "a / b", "N/A", "void f<int>(x*, y)", "[pg::0/1]", "triton/mm"]
)
def test_names_that_are_no_paths_stay(name: str) -> None:
    row = msgspec.structs.replace(example.example_analysis().op_rows[0], name=name)
    assert redacted(example.analysis_of([row])).op_rows[0].name == name


def test_rows_that_differ_by_their_inputs_alone_are_told_apart_on_a_narrow_terminal() -> None:
    first = next(row for row in example.training_rows() if row.name == "aten::mm")
    rows = [
        msgspec.structs.replace(first, module="model.layers.attention.projection_of_the_output",
                                input_dims=((size, 64), (64, size)), attributed_ns=first.attributed_ns + size)
        for size in (512, 1024, 2048)
    ]  # fmt: skip
    lines = [line for line in summary(example.analysis_of(rows)).splitlines() if "aten::mm" in line][-3:]
    assert len({line.split("aten::mm")[1] for line in lines}) == 3
