"""Frames as recordings hold them, whole and broken: which function and which module are the innermost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import traceanalyzer
from tests.files import loaded
from tests.pipeline.kineto import Kineto
from traceanalyzer.records import Analysis
from traceanalyzer.records.frame_names import class_of, is_a_tool, is_of_a_user, parsed, short_files
from traceanalyzer.records.frames import Frames
from traceanalyzer.report import RENDERERS, render
from traceanalyzer.trace.linking.frames import frames_of
from traceanalyzer.trace.reading.raw import RawFrames


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("train.py(12): step", True),
        ("transformers/models/owlv2/modeling_owlv2.py(410): forward", True),
        ("/opt/venv/lib/python3.11/site-packages/mylib/net.py(3): f", True),
        (r"C:\work\net.py(3): f", True),
        ("<ipython-input-3-ab12>(5): step", True),
        ("/tmp/ipykernel_7/123.py(5): step", True),
        ("torch/nn/modules/module.py(1773): _call_impl", False),
        ("/opt/venv/lib/python3.11/site-packages/torch/_tensor.py(3): backward", False),
        ("threading.py(1032): _bootstrap", False),
        ("/usr/lib/python3.10/contextlib.py(76): inner", False),
        (r"C:\Python311\Lib\queue.py(5): get", False),
        ("torchvision/models/resnet.py(89): forward", True),
        ("<built-in method relu of type object at 0x7f>", False),
        ("<frozen importlib._bootstrap>(241): _call", False),
        ("<string>(1): <module>", False),
        ("<eval_with_key>.3(5): forward", False),
        ("nn.Module: Linear_3", False),
        (f"/tmp/torchinductor_me/ov/c{'ov4' * 17}.py(9): call", False),  # written by Inductor
        ("cache.py(9): call", True),
        ("net.py: forward", True),  # without a line
        ("", False),
        (": ", False),
    ],
)
def test_whose_function_it_is(text: str, user: bool) -> None:
    assert is_of_a_user(text) == user


def test_what_a_name_holds() -> None:
    name = parsed("models/net.py(41): <lambda>")
    assert name is not None and (name.file, name.line, name.function) == ("models/net.py", 41, "<lambda>")
    without = parsed("net.py: f")
    assert without is not None and without.line is None
    assert class_of("nn.Module: Owlv2Attention_7") == "Owlv2Attention"
    assert class_of("nn.Module: My_Net_12") == "My_Net" and class_of("nn.Module: Net") == "Net"
    for file, tool in (("scipy/ndimage/x.py(3): zoom", True), ("transformers/x.py(3): f", False)):
        known = parsed(file)
        assert known is not None and is_a_tool(known) == tool


def test_files_are_shown_by_as_little_as_tells_them_apart() -> None:
    shown = short_files(["a/b/utils.py", "a/c/utils.py", "utils.py", "/x/net.py", "a/b/utils.py"])
    assert shown == {"a/b/utils.py": "b/utils.py", "a/c/utils.py": "c/utils.py", "utils.py": "utils.py",
                     "/x/net.py": "net.py"}  # fmt: skip


def made(rows: list[tuple[int, int, str, int]], tolerance: int = 0) -> Frames:
    """Frames of (start, end, name, thread)."""
    names = list(dict.fromkeys(name for _, _, name, _ in rows))
    starts, ends, texts, threads = zip(*rows, strict=True)
    starts, ends, texts, threads = zip(*rows, strict=True)
    number = np.array([names.index(text) for text in texts], np.int32)
    raw = RawFrames(np.array(starts), np.array(ends), number, np.array(threads, np.int32))
    return frames_of(names, raw, tolerance)


def function_at(frames: Frames, moment: int, thread: int = 0) -> str | None:
    at = frames.open_at(np.array([thread], np.int32), np.array([moment], np.int64))
    row = int(frames.functions_at(at)[0])
    return frames.functions[row].name if row >= 0 else None


def path_at(frames: Frames, moment: int, thread: int = 0) -> str | None:
    at = frames.open_at(np.array([thread], np.int32), np.array([moment], np.int64))
    row = int(frames.paths_at(at)[0])
    return frames.paths[row].path if row >= 0 else None


def test_the_innermost_is_open_from_its_start_to_before_its_end() -> None:
    frames = made([(0, 100, "a.py(1): f", 0), (10, 50, "nn.Module: Net_0", 0), (20, 30, "a.py(9): g", 0)])
    assert [function_at(frames, t) for t in (0, 19, 20, 29, 30, 99, 100)] == [
        "f",
        "f",
        "g",
        "g",
        "f",
        "f",
        None,
    ]
    assert [path_at(frames, t) for t in (9, 10, 25, 49, 50)] == [None, "Net", "Net", "Net", None]
    assert function_at(frames, 25, thread=1) is None


def test_neighbors_that_overlap_by_the_clock_are_no_parent_and_child() -> None:
    rows = [(0, 1000, "a.py(1): f", 0), (0, 500, "a.py(2): g", 0), (499, 900, "a.py(3): h", 0)]
    frames = made(rows, tolerance=1)
    assert [function_at(frames, t) for t in (498, 499, 899, 900)] == ["g", "h", "h", "f"]


def test_what_outlives_its_caller_ends_with_it() -> None:
    frames = made([(0, 100, "a.py(1): f", 0), (50, 5000, "a.py(2): g", 0)])
    assert [function_at(frames, t) for t in (50, 99, 100)] == ["g", "g", None]


def test_a_layer_that_runs_again_alone_is_the_one_it_was() -> None:
    frames = made([
        (0, 100, "nn.Module: Net_0", 0), (10, 20, "nn.Module: Block_0", 0),
        (12, 15, "nn.Module: Linear_0", 0),
        (200, 220, "nn.Module: Block_0", 1), (210, 215, "nn.Module: Linear_0", 1),
    ])  # fmt: skip
    assert path_at(frames, 212, thread=1) == path_at(frames, 13) == "Net.Block.Linear"


def test_frames_in_each_other_for_long_are_told_apart_to_a_limit() -> None:
    frames = made([(at, 10_000 - at, f"nn.Module: A_{at}", 0) for at in range(500)])
    deepest = path_at(frames, 5000)
    assert deepest is not None and deepest.count(".") == 63


def looked_up(rows: list[tuple[int, int, str, int]], moment: int, thread: int) -> str | None:
    """The function that began last among those that are open, which is the innermost of frames that nest."""
    opened = [row for row in rows if row[3] == thread and row[0] <= moment < row[1]]
    return max(opened, key=lambda row: (row[0], -row[1]))[2].split(": ")[1] if opened else None


@pytest.mark.parametrize("seed", range(20))
def test_every_moment_of_random_nests_is_as_looked_up(seed: int) -> None:
    generator = random.Random(seed)
    rows: list[tuple[int, int, str, int]] = []

    def nest(start: int, end: int, thread: int, depth: int) -> None:
        at = start
        while at < end - 2 and depth < 6:
            opens = generator.randint(at, end - 1)
            closes = generator.randint(opens + 1, end)
            if (opens, closes) != (start, end):  # else which is the inner one is not told by times
                rows.append((opens, closes, f"a.py({len(rows) + 1}): f{len(rows)}", thread))
                nest(opens, closes, thread, depth + 1)
            at = closes + generator.randint(1, 20)

    for thread in range(3):
        nest(0, 200, thread, 0)
    generator.shuffle(rows)
    frames = made(rows)
    for thread in range(4):
        for moment in range(-1, 202):
            assert function_at(frames, moment, thread) == looked_up(rows, moment, thread)


def analysis_of(trace: Kineto, folder: Path) -> Analysis:
    return traceanalyzer.analyze(trace.write(folder / "trace.json"))


def one_kernel() -> Kineto:
    trace = Kineto()
    trace.run("aten::relu", 100, "relu_kernel", 130, 50, ([1024, 1024], "float"))
    return trace


def where(analysis: Analysis) -> list[tuple[str | None, int | None, int]]:
    return [(each.function, each.line, each.time_ns) for each in analysis.function_rows or ()]


def test_a_frame_that_the_recording_cut_off_is_open_to_its_end(tmp_path: Path) -> None:
    trace = one_kernel()
    trace.python("train.py(3): main", 0, 1)
    del trace.events[-1]["dur"]
    trace.events[-1]["args"]["finished"] = False
    assert where(analysis_of(trace, tmp_path)) == [("main", 3, 50_000)]


def test_a_stack_of_another_thread_is_not_the_kernel_s(tmp_path: Path) -> None:
    trace = one_kernel()
    trace.python("train.py(3): main", 0, 1000, tid=9)
    analysis = analysis_of(trace, tmp_path)
    assert where(analysis) == [(None, None, 50_000)]
    assert [(m.path, m.self_ns) for m in analysis.module_rows or ()] == []


def test_broken_frames_leave_the_report_whole(tmp_path: Path) -> None:
    trace = one_kernel()
    trace.python("train.py(3): main", 0, 1000)
    for name, ts, dur in (("x.py(1): f", float("nan"), 5), ("", 3, 4), ("y.py(2): g", 90, -5),
                          ("z.py(99999999999999999999): h", 99, 10), ("w.py: k", 100.5, 2)):  # fmt: skip
        trace.python(name, ts, dur)
    trace.events.append({"ph": "X", "cat": "python_function", "pid": 10, "tid": 1, "ts": 5, "dur": 900})
    analysis = analysis_of(trace, tmp_path)
    assert where(analysis) == [("k", None, 50_000)]


HOSTILE = "</script><script>alert(1)</script>`|*_{{ 7*7 }}\x00\u202e@team"


def test_hostile_names_are_text_in_every_format(tmp_path: Path) -> None:
    trace = one_kernel()
    trace.python(f"a{HOSTILE}.py(3): m{HOSTILE}", 0, 1000)
    trace.python(f"nn.Module: N{HOSTILE}_0", 50, 500)
    analysis = analysis_of(trace, tmp_path)
    assert analysis.function_rows and analysis.function_rows[0].line == 3
    for name in RENDERERS:
        text = render(analysis, name)
        if name in ("html", "svg"):
            assert "<script>alert" not in text
    assert json.loads(render(analysis, "json"))["modules"][0]["class"].startswith("N</script>")


def test_many_frames_cost_memory_by_the_frame_and_no_more(tmp_path: Path) -> None:
    trace = one_kernel()
    for number in range(20_000):
        trace.python(f"<built-in method f{number} of object at 0x{number:x}>", number / 10, 0.05)
        trace.python("train.py(3): main", number / 10, 0.08)
    file = trace.write(tmp_path / "trace.json")
    loaded_trace = loaded(str(file))
    assert len(loaded_trace.frames) == 20_000
    assert not any(name.startswith("<built-in") for name in loaded_trace.names)
