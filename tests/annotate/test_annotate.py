"""`annotate`: the trace as it was, and in it what the analysis found, call by call."""

from __future__ import annotations

import gzip
import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.annotate.copies import (
    KEY,
    Row,
    added,
    annotate,
    annotated_rows,
    device_rows,
    parsed,
    same_analysis,
    same_events,
)
from tests.pipeline.kineto import Kineto
from tests.project.tree import ROOT
from traceanalyzer.cli import main
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import annotations_of

SAMPLES = sorted((ROOT / "sample_traces").glob("*.json.gz"))
LARGEST = 20_000_000  # bytes of a file that is looked at
HALF = "c10::BFloat16"
SQUARE = ([4096, 4096], HALF)
ADDED_BYTES = 3 * 2 * 4096**2  # two inputs read, one output written, 2 bytes each


def example(count: int = 3) -> Kineto:
    t = Kineto()
    for i in range(count):
        t.run("aten::add", 1000 * i, "vectorized_add", 1000 * i + 100, 100.5, SQUARE, SQUARE)
    return t


def noted(rows: list[Row]) -> list[Row]:
    return [row["args"][KEY] for row in rows]


@pytest.mark.parametrize("trace", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_as_it_was_and_reads_alike(trace: Path, tmp_path: Path) -> None:
    copy = annotate(trace, tmp_path)
    same_events(trace, copy)
    same_analysis(trace, copy)
    document = parsed(copy)
    assert any(row["ph"] == "C" for row in added(document)) or not any(
        int(each["flops"]) for each in noted(annotated_rows(document)) if each["flops"]
    )
    found = traceanalyzer.analyze(trace).suggestions or ()
    assert sum(row["ph"] == "i" for row in added(document)) == len(found)


@pytest.mark.slow
def test_every_real_trace_is_as_it_was_and_reads_alike(real_traces: Path, tmp_path: Path) -> None:
    for trace in sorted(real_traces.rglob("*.json.gz")):
        if trace.name.startswith("not_") or trace.stat().st_size > LARGEST:
            continue
        copy = annotate(trace, tmp_path)
        same_events(trace, copy)
        same_analysis(trace, copy)


def test_an_addition_by_hand(tmp_path: Path) -> None:
    copy = annotate(example().write(tmp_path / "t.json"), tmp_path)
    (first, *_) = noted(device_rows(parsed(copy)))
    assert first["verdict"] == "memory_bound" and first["flops"] == str(4096**2)
    assert int(first["read_bytes"]) + int(first["write_bytes"]) == ADDED_BYTES
    roof_ns = ADDED_BYTES / 3.35e12 * 1e9
    assert float(first["roof_ns"]) == pytest.approx(roof_ns, rel=1e-5)
    assert float(first["efficiency"]) == pytest.approx(roof_ns / 100_500, rel=1e-5)


def test_the_cost_of_a_call_stands_once_on_its_longest_kernel(tmp_path: Path) -> None:
    t = Kineto()
    t.op("aten::add", 0, 20, SQUARE, SQUARE)
    for at, dur in ((100, 10), (120, 60), (190, 10)):
        t.kernel("part", at, dur, t.launch(at / 100))
    short, longest, other = noted(device_rows(parsed(annotate(t.write(tmp_path / "t.json"), tmp_path))))
    assert short == other
    assert (short["flops"], short["read_bytes"], short["write_bytes"]) == ("0", "0", "0")
    assert short["efficiency"] is None and short["roof_ns"] == "0" and short["verdict"] == longest["verdict"]
    assert longest["flops"] == str(4096**2)
    assert float(longest["efficiency"]) == pytest.approx(ADDED_BYTES / 3.35e12 * 1e9 / 80_000, rel=1e-5)


def test_equal_rows_are_told_apart_by_their_place(tmp_path: Path) -> None:
    """Two rows alike but for what they were launched by, in the order that no sort keeps."""
    t = Kineto()
    t.op("aten::mul", 0, 5, ([64], HALF), ([64], HALF))
    t.op("aten::add", 10, 5, SQUARE, SQUARE)
    small, large = t.launch(1), t.launch(11)
    for correlation in (large, small, large, small):
        t.kernel("same", 100, 50, correlation)
        t.events[-1]["args"]["correlation"] = correlation
    rows = device_rows(parsed(annotate(t.write(tmp_path / "t.json"), tmp_path)))
    reads = [int(row["args"][KEY]["read_bytes"]) for row in rows]
    whole = {str(small): 2 * 2 * 64, str(large): 2 * 2 * 4096**2}
    for row, read in zip(rows, reads, strict=True):
        assert read in (0, whole[row["args"]["correlation"]])
    assert sum(reads) == sum(whole.values())


def test_rows_that_the_reader_drops_shift_no_others(tmp_path: Path) -> None:
    t = example(6)
    kernels = [row for row in t.events if row["cat"] == "kernel"]
    kernels[1]["dur"] = -5
    del kernels[3]["ts"]
    t.events.reverse()
    trace = t.write(tmp_path / "t.json")
    copy = annotate(trace, tmp_path)
    same_events(trace, copy)
    rows = device_rows(parsed(copy))
    assert [KEY in row["args"] for row in rows] == [True, True, False, True, False, True]


@pytest.mark.parametrize("trace", SAMPLES, ids=lambda path: path.name)
def test_what_stands_in_rows_adds_up_to_the_report(trace: Path, tmp_path: Path) -> None:
    """With all steps, so that no call is left out: FLOPs and bytes exactly, roof times to rounding."""
    analysis = traceanalyzer.analyze(trace, options=AnalyzeOptions(steps="all"))
    rows = noted(annotated_rows(parsed(annotate(trace, tmp_path, "--steps", "all"))))
    for name in ("flops", "read_bytes", "write_bytes"):
        expected = sum(getattr(row, name) or 0 for row in analysis.op_rows)
        assert sum(int(row[name] or 0) for row in rows) == expected
    roofs = sum(row.roof_ns or 0 for row in analysis.op_rows)
    assert sum(float(row["roof_ns"] or 0) for row in rows) == pytest.approx(roofs, rel=1e-4)


@pytest.mark.parametrize("trace", SAMPLES, ids=lambda path: path.name)
def test_the_area_under_a_counter_is_what_was_computed(trace: Path, tmp_path: Path) -> None:
    document = parsed(annotate(trace, tmp_path))
    rows = annotated_rows(document)
    timed = [row for row in rows if row["args"][KEY]["efficiency"] is not None]
    for name, parts in (("FLOP/s", ("flops",)), ("B/s", ("read_bytes", "write_bytes"))):
        points = sorted(
            (Fraction(row["ts"]), int(row["args"][name]))
            for row in added(document) if row["ph"] == "C" and name in row["args"]
        )  # fmt: skip
        assert points[-1][1] == 0, "nothing runs behind the last record"
        assert len({ts for ts, _ in points}) == len(points)
        area = sum(value * (after - ts) for (ts, value), (after, _) in zip(points, points[1:], strict=False))
        told = sum(int(row["args"][KEY][part] or 0) for row in rows for part in parts)
        assert float(area) / 1e6 == pytest.approx(told, rel=1e-3), len(timed)


def test_kernels_at_once_add_up_in_a_counter(tmp_path: Path) -> None:
    """Two of 4096**2 FLOPs in 100 µs, half of which they share: 1, 2, 1 times the rate, then none."""
    t = Kineto()
    for at, stream in ((100, 7), (150, 8)):
        t.op("aten::add", at - 100, 5, SQUARE, SQUARE)
        t.kernel("k", at, 100, t.launch(at - 99), stream=stream)
    document = parsed(annotate(t.write(tmp_path / "t.json"), tmp_path))
    points = sorted((float(row["ts"]), int(row["args"]["FLOP/s"]))
                    for row in added(document) if "FLOP/s" in row["args"])  # fmt: skip
    rate = round(4096**2 / 100e-6)
    assert points == [(100.0, rate), (150.0, 2 * rate), (200.0, rate), (250.0, 0)]


def test_on_a_cpu_trace_operators_are_annotated(tmp_path: Path) -> None:
    copy = annotate(SAMPLES[0], tmp_path)
    assert {row["cat"] for row in annotated_rows(parsed(copy))} == {"cpu_op"}
    (found,), _ = annotations_of(str(SAMPLES[0]), AnalyzeOptions())
    annotated = len(found.file_row) - int(found.costs.outer.sum())
    assert found.on_cpu and len(annotated_rows(parsed(copy))) == annotated


def test_frames_round_the_work_hide_no_verdict(tmp_path: Path) -> None:
    """What is grey in a CPU trace is what works without a verdict, not what calls something that has one."""
    rows = annotated_rows(parsed(annotate(SAMPLES[0], tmp_path)))
    time = {False: 0.0, True: 0.0}
    for row in rows:
        time[row["args"][KEY]["verdict"] == "unmodelled"] += float(row["dur"])
    assert time[True] < 0.02 * time[False]
    names = {row["name"] for row in rows if row["args"][KEY]["verdict"] == "unmodelled"}
    assert "aten::linear" not in names


def test_an_annotated_trace_is_not_annotated_again(tmp_path: Path) -> None:
    for trace in (SAMPLES[0], example().write(tmp_path / "t.json")):
        copy = annotate(trace, tmp_path)
        again = tmp_path / "again.json"
        done = CliRunner().invoke(main, ["annotate", str(copy), "-o", str(again)])
        assert done.exit_code == 2 and "is an annotated trace already" in done.stderr
        assert done.stderr.count("\n") == 1 and not again.exists()


def test_each_process_of_a_file_has_its_own(tmp_path: Path) -> None:
    t = example()
    second = json.loads(json.dumps(t.events))
    for row in second:
        row["pid"] = 11 if row["pid"] == 10 else 1
        row["args"] |= {"device": 1} if "device" in row["args"] else {}
    t.events += second
    trace = t.write(tmp_path / "t.json")
    copy = annotate(trace, tmp_path)
    same_events(trace, copy)
    document = parsed(copy)
    assert all(KEY in row["args"] for row in device_rows(document))
    tracks = {(row["name"], row["pid"]) for row in added(document) if row["ph"] == "C"}
    assert len(tracks) == 4 and len({name for name, _ in tracks}) == 4


def test_no_trace_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    good = example().write(tmp_path / "t.json")
    (tmp_path / "not.json").write_text('{"a": 1}')
    out = tmp_path / "kept.json"
    out.write_text("kept")
    before = sorted(os.listdir(tmp_path))
    for arguments in (
        [str(tmp_path / "not.json"), "-o", str(out), "--force"],
        [str(tmp_path / "absent.json"), "-o", str(tmp_path / "new.json")],
        [str(good), "-o", str(good), "--force"],
        [str(good), "-o", str(out)],
        [str(good), "-o", str(tmp_path / "page.html")],
        [str(good), "-o", str(tmp_path / "nowhere" / "a.json")],
        ["-", "-o", str(tmp_path / "new.json")],
    ):
        result = CliRunner().invoke(main, ["annotate", *arguments])
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.strip().splitlines()
        assert line.startswith("traceanalyze: ") and " Fix: " in line
    assert sorted(os.listdir(tmp_path)) == before and out.read_text() == "kept"


def test_the_same_copy_each_time_packed_or_not(tmp_path: Path) -> None:
    trace = example().write(tmp_path / "t.json")
    packed = [annotate(trace, tmp_path).read_bytes() for _ in range(2)]
    assert packed[0] == packed[1]
    plain = tmp_path / "plain.json"
    assert CliRunner().invoke(main, ["annotate", str(trace), "-o", str(plain)]).exit_code == 0
    assert plain.read_bytes() == gzip.decompress(packed[0])
