"""Which line calls an operator: real recordings against what stands in the script."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import traceanalyzer
from tests.collect.harness import SCRIPTS, bare, document, left_alone, profiled
from traceanalyzer.collect import calling_lines
from traceanalyzer.collect.calling_lines import CallingLines
from traceanalyzer.records import Analysis

SCRIPT = SCRIPTS / "calling_lines.py"
TEXT = SCRIPT.read_text().splitlines()
# What one step calls in its forward pass, in this order, and words of the line that does.
BLOCK = [("linear", "self.linear(x)  # calls"), ("sigmoid", "return torch.sigmoid(")]
FORWARD = [
    *BLOCK, *BLOCK, *BLOCK,
    ("relu", "first = torch.relu"), ("relu", "second = torch.relu"), ("add", "return first + second"),
    ("exp", "return x.exp()"), ("neg", "return result.neg()"), ("add", "x = x + decorated"),
    ("sin", "return x.sin()"), ("add", "x = x + without_grad"),
    ("cos", "yield x.cos()"), ("mul", "x = x * y"), ("tan", "yield x.tan()"), ("mul", "x = x * y"),
    ("abs", "halved = lambda"), ("floor", "in the cell"), ("add", 'SPACE["in_a_cell"]'),
    ("ceil", 'SPACE["from_text"]'), ("sum", "return x.sum()"),
]  # fmt: skip


def line_of(words: str) -> int:
    if words == "in the cell":
        return 3
    (line,) = [number for number, text in enumerate(TEXT, 1) if words in text]
    return line


def called(trace: Path, *, inside: bool = False) -> list[tuple[str, str, str, int | None]]:
    """Outermost operators of the evidence step, or all: name, file, function, line."""
    step = document(trace)["traceanalyzeEvidence"]
    reached = step["call_sites"]
    result = []
    for name, site, parent in zip(step["name"], step["site"], step["parent"], strict=True):
        if (inside or parent < 0) and site >= 0:
            function, line = reached["sites"][site]
            file, _, function_name, _ = reached["functions"][function]
            result.append((step["names"][name].removeprefix("aten::"), file, function_name, line))
    return result


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    run = profiled(folder, str(SCRIPT))
    assert run.code == 0, run.stderr
    return folder / "t.trace.json.gz"


@pytest.fixture(scope="module")
def analysis(recorded: Path) -> Analysis:
    return traceanalyzer.analyze(str(recorded))


def test_each_operator_has_the_line_that_calls_it(recorded: Path) -> None:
    """Twice in one function, in a loop, decorated, in a generator, a lambda, a cell, over several lines."""
    forward = [(name, line) for name, _, _, line in called(recorded)][: len(FORWARD)]
    assert forward == [(name, line_of(words)) for name, words in FORWARD]


def test_files_are_those_of_the_recorder_of_stacks(recorded: Path) -> None:
    assert {file for _, file, _, _ in called(recorded)} == {"calling_lines.py", "<cell 1>"}


def test_one_function_has_a_time_for_each_line_and_they_add_up(analysis: Analysis) -> None:
    lines = {(row.function, row.line) for row in analysis.function_rows or () if row.line_is == "call"}
    assert {("twice", line_of("first = torch.relu")), ("twice", line_of("second = torch.relu"))} <= lines
    assert ("in_a_cell", 3) in lines
    assert sum(row.time_ns for row in analysis.function_rows or ()) == analysis.time.busy_ns


def test_what_is_backward_belongs_to_the_line_of_its_forward_operator(analysis: Analysis) -> None:
    (row,) = [row for row in analysis.op_rows if row.name == "aten::threshold_backward"]
    lines = {line_of("first = torch.relu"), line_of("second = torch.relu")}
    assert {(place.line, place.line_is) for place in row.places} == {(line, "call") for line in lines}


@pytest.mark.slow
def test_a_stack_and_the_lines_agree(recorded: Path, analysis: Analysis, tmp_path: Path) -> None:
    run = profiled(tmp_path, str(SCRIPT), options=["--stack"])
    assert run.code == 0, run.stderr
    stacked = traceanalyzer.analyze(str(tmp_path / "t.trace.json.gz"))
    assert by_line(stacked) >= by_line(analysis)


def by_line(analysis: Analysis) -> set[tuple[str | None, int | None]]:
    return {(row.function, row.line) for row in analysis.function_rows or () if row.line_is == "call"}


@pytest.mark.slow
def test_a_script_that_is_a_module(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "train.py").write_text(SCRIPT.read_text())
    run = profiled(tmp_path, "pack.train", options=["-m"])
    assert run.code == 0, run.stderr
    assert (tmp_path / "t.trace.json.gz").exists()
    forward = called(tmp_path / "t.trace.json.gz")[: len(FORWARD)]
    assert [(name, line) for name, _, _, line in forward] == [
        (name, line_of(words)) for name, words in FORWARD
    ]
    assert {file for _, file, _, _ in forward} == {"pack/train.py", "<cell 1>"}


FOLLOWED = """
import sys, torch
lines = set()
def follow(frame, event, argument):
    lines.add((event, frame.f_lineno))
    return follow
sys.settrace(follow)
weight = torch.ones(4, requires_grad=True)
optimizer = torch.optim.SGD([weight], 0.1)
for _ in range(12):
    (weight * 2).sum().backward()
    optimizer.step()
assert sys.gettrace() is follow
print("done")
"""


def test_a_debugger_or_coverage_stays_and_the_report_says_so(tmp_path: Path) -> None:
    (tmp_path / "followed.py").write_text(FOLLOWED)
    run = profiled(tmp_path, "followed.py")
    assert run.code == 0, run.stderr
    analysis = traceanalyzer.analyze(str(tmp_path / "t.trace.json.gz"))
    (notice,) = [each for each in analysis.source.warnings if each.code == "calling_lines_unknown"]
    assert "follows the script" in notice.message
    assert analysis.function_rows is None


WORKERS = """
import sys, torch
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return torch.tensor([float(sys.gettrace() is not None)])
if __name__ == "__main__":
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.1)
    for _ in range(11):
        loader = torch.utils.data.DataLoader(Data(), 4, num_workers=1, multiprocessing_context="fork")
        (batch,) = loader
        assert not batch.any()
        (weight * batch).sum().backward()
        optimizer.step()
    print("done")
"""


@pytest.mark.slow
def test_a_worker_that_is_forked_in_the_step_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    left_alone(bare(tmp_path, "workers.py"), profiled(tmp_path, "workers.py"))
    assert any(name == "mul" and line == 15 for name, _, _, line in called(tmp_path / "t.trace.json.gz"))


COMPILED = """
import torch, torch._dynamo.utils as utils
def inner(x):
    y = x.sin()
    return y.cos()
step = torch.compile(inner, backend="aot_eager")
weight = torch.ones(4, requires_grad=True)
optimizer = torch.optim.SGD([weight], 0.1)
for _ in range(12):
    (step(weight) * 2).sum().backward()
    optimizer.step()
print(dict(utils.counters["frames"]), dict(utils.counters["stats"]))
"""


@pytest.mark.slow
def test_compiled_code_is_compiled_as_before_and_has_no_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "compiled.py").write_text(COMPILED)
    left_alone(bare(tmp_path, "compiled.py"), profiled(tmp_path, "compiled.py"))
    every = called(tmp_path / "t.trace.json.gz", inside=True)
    compiled = [(name, function, line) for name, _, function, line in every if name in ("sin", "cos")]
    assert compiled[:2] == [
        ("sin", "inner", None),
        ("cos", "inner", None),
    ]  # the backward pass calls them too


def reached(run: Callable[[], Any]) -> list[tuple[str, int | None]]:
    """Function and line, counted from its first, in the order in which `run` first reaches them."""
    lines = CallingLines()
    lines.start()
    try:
        run()
    finally:
        lines.stop()
    assert sys.gettrace() is None
    assert lines.call_sites.unknown is None
    functions = lines.call_sites.functions
    return [(functions[row][2], line and line - functions[row][1]) for row, line in lines.call_sites.sites]


@pytest.fixture
def untraced() -> Iterator[None]:
    """A test under a debugger or coverage is one of the cases that are not followed."""
    before = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(before)


def fails() -> None:
    raise ValueError


def catches() -> int:
    try:
        fails()
    except ValueError:
        return 1
    return 2


def many(count: int) -> int:
    total = 0
    for number in range(count):
        total += number
    return total


@pytest.mark.usefixtures("untraced")
def test_an_exception_leads_back_to_the_line_that_catches_it() -> None:
    inside = [line for name, line in reached(catches) if name == "catches"]
    assert inside == [1, 2, 3, 4]


@pytest.mark.usefixtures("untraced")
def test_a_loop_without_operators_costs_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling_lines, "_MOST_IN_ONE", 100)
    lines = reached(lambda: (many(10_000), catches()))
    assert ("many", None) in lines and ("catches", 4) in lines


@pytest.mark.usefixtures("untraced")
def test_a_step_of_too_many_lines_is_followed_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling_lines, "_MOST_MARKS", 100)
    lines = CallingLines()
    lines.start()
    many(10_000)
    assert sys.gettrace() is None
    lines.stop()
    assert "lines of Python" in (lines.call_sites.unknown or "")


@pytest.mark.usefixtures("untraced")
def test_a_breakpoint_of_the_script_is_left_alone() -> None:
    def debugger(frame: Any, event: str, argument: Any) -> None:
        return None

    lines = CallingLines()
    lines.start()
    sys.settrace(debugger)
    lines.stop()
    assert sys.gettrace() is debugger
    assert lines.call_sites.sites == [] and "debugger" in (lines.call_sites.unknown or "")


@pytest.mark.usefixtures("untraced")
def test_nothing_of_ours_stays_on_the_frames_that_run() -> None:
    lines = CallingLines()
    lines.start()
    assert inspect.currentframe() is not None
    lines.stop()
    frame = inspect.currentframe()
    while frame is not None:
        assert frame.f_trace is None
        frame = frame.f_back


def paused() -> Iterator[int]:
    try:
        yield 1
    except ValueError:
        yield 2
    yield 3


async def waiting(steps: Iterator[int]) -> None:
    for _ in steps:
        await asyncio.sleep(0)


def failed() -> TracebackType:
    try:
        fails()
    except ValueError as error:
        assert error.__traceback__ is not None and error.__traceback__.tb_next is not None
        return error.__traceback__.tb_next
    raise AssertionError


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("most", [50_000, 1])
def test_nothing_of_ours_stays_on_frames_that_wait(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may continue under a debugger, and would keep all that we know alive; given up or not."""
    monkeypatch.setattr(calling_lines, "_MOST_MARKS", most)
    lines = CallingLines()
    generator, thrown, coroutine = paused(), paused(), waiting(iter(range(3)))
    lines.start()
    next(generator)
    next(thrown)
    thrown.throw(ValueError())
    coroutine.send(None)
    traceback = failed()
    lines.stop()
    frames = [generator.gi_frame, thrown.gi_frame, coroutine.cr_frame, traceback.tb_frame]
    assert [(frame.f_trace, frame.f_trace_lines) for frame in frames] == [(None, True)] * 4
    coroutine.close()


@pytest.mark.usefixtures("untraced")
def test_a_generator_that_runs_when_the_step_is_given_up_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calling_lines, "_MOST_MARKS", 100)
    lines = CallingLines()

    def gives_up() -> Iterator[int]:
        yield many(10_000)

    generator = gives_up()
    lines.start()
    next(generator)
    assert sys.gettrace() is None and generator.gi_frame.f_trace is None
    lines.stop()
    assert "lines of Python" in (lines.call_sites.unknown or "")


@pytest.mark.usefixtures("untraced")
def test_a_generator_is_followed_whenever_it_continues() -> None:
    def run() -> None:
        generator = paused()
        next(generator)
        generator.throw(ValueError())
        next(generator)

    assert [line for name, line in reached(run) if name == "paused"] == [1, 2, 3, 4, 5]
