"""Whose a kernel's cost is, on a GPU and on a CPU where every op has a record of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import traceanalyzer
from tests.files import loaded
from tests.pipeline.kineto import Kineto
from traceanalyzer.cost.price import price
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Analysis

ROOFS = AnalyzeOptions(bandwidth="50GB/s", peaks=("fp32=2T", "matrix:fp32=2T"))
X = ([512, 1024], "float")


def rows(analysis: Analysis) -> dict[str, tuple[int | None, int | None, int | None]]:
    return {r.name: (r.flops, r.read_bytes, r.write_bytes) for r in analysis.op_rows}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Ops that loop themselves and call others, ops that only call others, on this machine's CPU."""
    x, y, w = torch.rand(2048, 2048), torch.rand(2048, 2048), torch.rand(512, 2048)
    with torch.profiler.profile(record_shapes=True) as profiler:
        F.mse_loss(x, y)
        x.mean()
        F.linear(x, w)
        x.std()
    path = tmp_path_factory.mktemp("live") / "live.json"
    profiler.export_chrome_trace(str(path))
    return traceanalyzer.analyze(path, options=ROOFS)


def test_an_op_that_loops_itself_is_priced_beside_what_it_calls(live: Analysis) -> None:
    size = 4 * 2048 * 2048
    loss = rows(live)["aten::mse_loss"]
    assert loss[1:] == (2 * size, size), "x and target read, the element-wise result written"


def test_an_op_that_only_calls_others_has_no_work_of_its_own(live: Analysis) -> None:
    assert rows(live)["aten::linear"] == (0, 0, 0)
    products = [r for r in live.op_rows if r.operator_class == "tensor_contraction"]
    assert sum(r.flops or 0 for r in products) == 2 * 2048 * 2048 * 512, "counted once"


def test_time_without_work_is_not_called_memory_bound(live: Analysis) -> None:
    for row in live.op_rows:
        if row.read_bytes == 0 and row.write_bytes == 0 and row.flops == 0:
            assert row.verdict in ("latency_bound", "unmodelled"), row


def test_kernels_of_unpriced_ops_belong_to_the_priced_op_above(tmp_path: Path) -> None:
    t = Kineto()
    t.op("aten::softmax", 0, 50, X)
    t.op("my::helper", 10, 30)
    t.kernel("helper_kernel", 100, 10, t.launch(15))
    (row,) = traceanalyzer.analyze(t.write(tmp_path / "t.json")).op_rows
    assert row.name == "aten::softmax" and row.verdict != "unmodelled"


def test_the_walk_ends_below_a_wrapper(tmp_path: Path) -> None:
    """Autograd nodes carry dims too; what hangs on one is not priced by the op round it."""
    t = Kineto()
    t.op("aten::softmax", 0, 50, X)
    t.op("autograd::engine::evaluate_function: MyBackward", 5, 40, X)
    t.op("my::helper", 10, 30)
    t.kernel("helper_kernel", 100, 10, t.launch(15))
    (row,) = traceanalyzer.analyze(t.write(tmp_path / "t.json")).op_rows
    assert (row.name, row.verdict) == ("my::helper", "unmodelled")


def test_an_unlinked_record_has_no_owner_and_no_shapes(tmp_path: Path) -> None:
    t = Kineto()
    t.op("aten::add", 0, 50, X, X)
    t.kernel("k", 100, 10, t.launch(15))
    t.kernel("lost", 120, 10, 9_999)
    found = price(loaded(str(t.write(tmp_path / "t.json"))))
    assert (found.priced_op >= 0).tolist() == [True, False]
    assert found.shaped.tolist() == [True, False]


COUNTER = ([], "long int")


def test_work_on_numbers_has_a_price_and_leaves_that_of_the_op_above(tmp_path: Path) -> None:
    """A step counter; and inside a mean, which has a kernel of its own and is priced as before."""
    t = Kineto()
    t.run("aten::add_", 0, "counter_kernel", 100, 2, COUNTER, COUNTER)
    t.op("aten::mean", 200, 50, X)
    t.kernel("mean_kernel", 300, 20, t.launch(205))
    t.op("aten::fill_", 210, 20, ([], "float"))
    t.kernel("fill_kernel", 330, 2, t.launch(215))
    analysis = traceanalyzer.analyze(t.write(tmp_path / "t.json"))
    assert rows(analysis) == {
        "aten::add_": (1, 16, 8),
        "aten::mean": (512 * 1024, 4 * 512 * 1024, 4),
        "aten::fill_": (0, 0, 4),
    }
    assert analysis.coverage.modelled_share == analysis.coverage.shaped_share == 1


@pytest.mark.parametrize(
    ("node", "reason"),
    [("MyBackward", "no_formula"),
     ("torch::autograd::CppNode<SplitLookupFunction_sgd_Op>", "data_dependent")],
)  # fmt: skip
def test_a_node_with_gradients_is_not_called_recorded_without_shapes(
    node: str, reason: str, tmp_path: Path
) -> None:
    t = Kineto()
    t.run(node, 0, "kernel", 100, 10, X)
    (found,) = traceanalyzer.analyze(t.write(tmp_path / "t.json")).op_rows
    assert (found.verdict, found.reason) == ("unmodelled", reason) and found.note


SCRIPTS = {
    "a product with a number": (lambda x: x * 2.0, 1),
    "another name": (lambda x: torch.multiply(x, x), 1),
    "a rectifier": (torch.relu, 1),
    "a square": (torch.square, 1),
    "a mask, a copy and what fills it": (lambda x: x.masked_fill(x > 0.5, 0.0), 3),
    "a quotient in place": (lambda x: x.div_(3.0), 1),
    "a matrix times a vector": (lambda x: x.mv(x[0]), 1),
    "a logarithm of a sigmoid": (F.logsigmoid, 1),
    "the larger of two": (lambda x: torch.max(x, x), 1),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_on_a_cpu_work_is_counted_where_it_is_done_and_once(script: str, tmp_path: Path) -> None:
    """Both the operator that is called and the one that it calls have a record of their own time."""
    run, times = SCRIPTS[script]
    x = torch.rand(512, 512)
    with torch.profiler.profile(record_shapes=True) as profiler:
        run(x)  # type: ignore[no-untyped-call]
    profiler.export_chrome_trace(str(tmp_path / "t.json"))
    analysis = traceanalyzer.analyze(tmp_path / "t.json", options=ROOFS)
    working = [r for r in analysis.op_rows if (r.read_bytes or 0) >= 4 * x.numel()]
    assert len(working) == times, working
