"""Kernels whose launch tells no shapes have those of an identical kernel, or none."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from tests.pipeline.kineto import Kineto, Tensor
from tests.pipeline.test_verdicts_end_to_end import analyze, row
from traceanalyzer.inference.borrowed_shapes import _by_sequence, _Offers
from traceanalyzer.inference.kernel_sequences import Sequences
from traceanalyzer.options import AnalyzeOptions

N = 1 << 24
GRID = (N // 1024, 1, 1)


@dataclass(frozen=True)
class Step:
    """One op of a little model and its kernels: (name, µs)."""

    op: str
    kernels: tuple[tuple[str, float], ...]
    inputs: tuple[Tensor, ...]
    grid: tuple[int, int, int] = GRID


def add(size: int = N, grid: tuple[int, int, int] = GRID) -> Step:
    return Step("aten::add", (("add_kernel", 70.0),), (([size], "float"), ([size], "float")), grid)


def unary(name: str, size: int = N) -> Step:
    return Step(f"aten::{name}", ((f"{name}_kernel", 50.0),), (([size], "float"),))


NORM = Step("aten::native_layer_norm", (("norm_kernel", 60.0), ("finish_kernel", 5.0)),
            (([N // 1024, 1024], "float"), ([], ""), ([1024], "float"), ([1024], "float")))  # fmt: skip
MODEL = [add(), unary("relu"), unary("exp"), NORM, unary("tanh"), unary("sqrt"), unary("sin"), unary("cos"),
         unary("neg"), unary("abs")]  # fmt: skip


@dataclass
class Recorder:
    """Writes steps eagerly, as leftovers without a launch, or under one graph launch."""

    trace: Kineto
    host: float = 0.0
    device: float = 1000.0

    def eager(self, steps: list[Step]) -> None:
        for step in steps:
            self.trace.op(step.op, self.host, 8, *step.inputs)
            for place, (name, dur) in enumerate(step.kernels):
                self._kernel(name, dur, self.trace.launch(self.host + 1 + place), step.grid)
            self.host += 10

    def leftover(self, step: Step, *, skip: int = 0, times: float = 1.0) -> None:
        for place, (name, dur) in enumerate(step.kernels[skip:]):
            self._kernel(name, dur * times, 5_000_000 + int(self.device) * 10 + place, step.grid)

    def replay(self, steps: list[Step], *, grids: bool = True) -> None:
        correlation = self.trace.launch(self.host, api="cudaGraphLaunch")
        for step in steps:
            for name, dur in step.kernels:
                self._kernel(name, dur, correlation, step.grid)
                if not grids:
                    del self.trace.events[-1]["args"]["grid"], self.trace.events[-1]["args"]["block"]
        self.host += 10

    def _kernel(self, name: str, dur: float, correlation: int, grid: tuple[int, int, int]) -> None:
        self.trace.kernel(name, self.device, dur, correlation, grid=grid)
        self.device += dur + 1


@pytest.fixture
def r() -> Recorder:
    return Recorder(Kineto())


def test_a_kernel_launched_before_the_recording_has_the_one_shape_of_its_equals(
    r: Recorder, tmp_path: Path
) -> None:
    r.leftover(add())
    r.eager([add(), unary("relu")])
    a = analyze(r.trace, tmp_path)
    found = row(a, "aten::add")
    assert (found.calls, found.kernels, found.read_bytes) == (2, 2, 2 * 8 * N)
    assert "borrowed_shapes" in found.flags and found.verdict == "memory_bound"
    assert "borrowed_shapes" not in row(a, "aten::relu").flags
    assert a.coverage.modelled_share == a.coverage.shaped_share == 1
    assert a.coverage.linked_share == pytest.approx(120 / 190)  # a loan is no link


@pytest.mark.parametrize(
    ("lenders", "borrower"),
    [
        ([add(), add(N - 5)], add()),                                  # two shapes with one grid
        ([add()], add(grid=(1, N // 1024, 1))),                        # as many blocks in another grid
        ([add(), Step("my::op", (("add_kernel", 70.0),), (([N], "float"),))], add()),  # an op nobody prices
    ],
)  # fmt: skip
def test_nothing_is_borrowed_where_lenders_do_not_agree(
    r: Recorder, tmp_path: Path, lenders: list[Step], borrower: Step
) -> None:
    r.leftover(borrower)
    r.eager(lenders)
    (left,) = [x for x in analyze(r.trace, tmp_path).op_rows if x.name == "add_kernel"]
    assert (left.verdict, left.reason, left.calls) == ("unmodelled", "no_launch", 1)


@pytest.mark.parametrize("times", [0.2, 5.0])
def test_nothing_is_borrowed_by_a_kernel_that_took_another_time(
    r: Recorder, tmp_path: Path, times: float
) -> None:
    r.leftover(add(), times=times)
    r.eager([add(), add()])
    assert row(analyze(r.trace, tmp_path), "add_kernel").reason == "no_launch"


def test_the_kernels_of_one_call_are_borrowed_together_or_not_at_all(r: Recorder, tmp_path: Path) -> None:
    r.leftover(NORM, skip=1)
    r.leftover(NORM)
    r.eager([NORM])
    a = analyze(r.trace, tmp_path)
    found = row(a, "aten::native_layer_norm")
    once = 4 * N + 2 * 4 * 1024
    assert (found.calls, found.kernels, found.read_bytes) == (2, 4, 2 * once)
    assert row(a, "finish_kernel").reason == "no_launch"


def test_a_replayed_graph_has_the_shapes_of_the_same_sequence_run_eagerly(
    r: Recorder, tmp_path: Path
) -> None:
    r.eager(MODEL)
    r.replay(MODEL)
    a = analyze(r.trace, tmp_path)
    assert a.coverage.modelled_share == 1 and a.coverage.linked_share == pytest.approx(0.5)
    assert {x.calls for x in a.op_rows} == {2}
    assert all("borrowed_shapes" in x.flags for x in a.op_rows)


def test_the_sequence_tells_apart_what_a_kernel_alone_does_not(r: Recorder, tmp_path: Path) -> None:
    other = [add(N - 5), *reversed(MODEL[1:])]  # the same kernel and grid for another size
    r.eager(MODEL)
    r.eager(other)
    r.replay(MODEL)
    sizes = {x.input_dims[0]: x.calls for x in analyze(r.trace, tmp_path).op_rows if x.name == "aten::add"}
    assert sizes == {(N,): 2, (N - 5,): 1}


def test_another_sequence_lends_nothing(r: Recorder, tmp_path: Path) -> None:
    r.eager(MODEL)
    r.replay(MODEL[::-1])
    a = analyze(r.trace, tmp_path)
    assert [p.reason for p in a.coverage.reasons] == ["cuda_graph"]
    assert a.coverage.modelled_share == pytest.approx(0.5)


@pytest.mark.parametrize("length", [2, 3])
def test_a_graph_of_two_kernels_is_no_evidence(r: Recorder, tmp_path: Path, length: int) -> None:
    r.eager(MODEL[:length])
    r.replay(MODEL[:length])
    assert (analyze(r.trace, tmp_path).coverage.modelled_share == 1) == (length == 3)


def test_a_replay_without_grids_borrows_where_all_names_of_the_graph_agree(
    r: Recorder, tmp_path: Path
) -> None:
    r.eager([unary("log"), *MODEL])
    r.replay(MODEL, grids=False)
    r.replay([*MODEL, unary("ceil")], grids=False)
    calls = {x.name: x.calls for x in analyze(r.trace, tmp_path).op_rows}
    assert calls["aten::relu"] == 2 and calls["relu_kernel"] == 1


def test_a_second_trace_lends_to_a_graph(r: Recorder, tmp_path: Path) -> None:
    seen = Recorder(Kineto())
    seen.eager([unary("log"), *MODEL])
    capture = seen.trace.write(tmp_path / "capture.json")
    r.replay(MODEL)
    r.eager([unary("relu")])
    assert analyze(r.trace, tmp_path).coverage.modelled_share < 0.2
    a = analyze(r.trace, tmp_path, options=AnalyzeOptions(capture=str(capture)))
    assert a.coverage.modelled_share == 1
    calls = {x.name: (x.calls, x.input_dims) for x in a.op_rows}
    assert calls["aten::add"] == (1, ((N,), (N,))) and calls["aten::relu"] == (2, ((N,),))


def test_launches_at_capture_lend_on_amd(r: Recorder, tmp_path: Path) -> None:
    for step in MODEL:
        r.trace.op(step.op, r.host, 8, *step.inputs)
        for place, (name, _) in enumerate(step.kernels):
            r.trace.launch(r.host + 1 + place, api="hipLaunchKernel")
            r.trace.events[-1]["args"]["kernel"] = name
        r.host += 10
    r.replay(MODEL, grids=False)
    a = analyze(r.trace, tmp_path)
    assert a.coverage.shaped_share == 1 and a.coverage.linked_share == 0
    assert {x.calls for x in a.op_rows} == {1}


def brute_force(eager: list[list[int]], items: list[list[int]], graph: list[int]) -> list[int]:
    """Every window of the graph against every window seen, place by place."""
    run = min(8, len(graph))
    votes: list[set[int]] = [set() for _ in graph]
    for begin in range(len(graph) - run + 1) if run >= 3 else ():
        equal = [
            what[at : at + run]
            for seen, what in zip(eager, items, strict=True)
            for at in range(len(seen) - run + 1)
            if seen[at : at + run] == graph[begin : begin + run]
        ]
        for place in range(run):
            offered = {what[place] for what in equal}
            if len(offered) == 1 and -1 not in offered:
                votes[begin + place] |= offered
    return [one.pop() if len(one) == 1 else -1 for one in votes]


@pytest.mark.parametrize("seed", range(60))
def test_sequences_agree_with_a_search_by_hand(seed: int) -> None:
    rng = random.Random(seed)
    motif = [rng.randrange(3) for _ in range(rng.randrange(4, 14))]
    eager = [[rng.choice(motif) if rng.random() < 0.1 else sign for sign in motif * rng.randrange(1, 4)]
             for _ in range(3)]  # fmt: skip
    items = [[rng.choice([-1, 7, 8]) if rng.random() < 0.2 else sign for sign in seen] for seen in eager]
    graphs = [(motif * 3)[: rng.randrange(1, 20)] for _ in range(4)]
    found = _by_sequence(of(graphs), np.ones(sum(map(len, graphs)), bool), lender(eager), flat(items))
    assert found.tolist() == [x for graph in graphs for x in brute_force(eager, items, graph)]


def flat(lists: list[list[int]]) -> np.ndarray:
    return np.array([x for one in lists for x in one], np.int32)


def of(lists: list[list[int]]) -> Sequences:
    segment = np.repeat(np.arange(len(lists)), [len(one) for one in lists]).astype(np.int32)
    sign = flat(lists).astype(np.uint64) * np.uint64(2**61 + 12345)
    return Sequences(segment, segment, sign, sign + np.uint64(1), np.ones(len(sign), bool))


def lender(lists: list[list[int]]) -> _Offers:
    kernels = of(lists)
    none = np.zeros(len(kernels), np.int32)
    return _Offers(replace(kernels), none.astype(np.int64), none, none, none)
