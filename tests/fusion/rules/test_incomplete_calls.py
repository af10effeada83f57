"""No rule fails on what a trace leaves out: dims, types, strides, arguments, times, or all operators."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import msgspec
import pytest
from msgspec.structs import replace

from tests.fusion.rules.test_slow_precision import cpu
from tests.fusion.scenes import Item, annotation, backward, forward, handed, inside, op, scene
from traceanalyzer.cost.price import price
from traceanalyzer.device import DeviceMatch
from traceanalyzer.fusion.rules import RULES, Rule
from traceanalyzer.fusion.step_graph import Free, StepGraph, step_graph
from traceanalyzer.records import OpCall
from traceanalyzer.roofline.judge import judge
from traceanalyzer.trace import select_window

GPU = "h100-sxm5"
# In 120 us a product of 4.3 GFLOP reaches 36 TFLOP/s, and of its 17 MB 0.14 TB/s.
CPUS = {
    "slow in bf16": replace(cpu(fp32=1e15, bf16=4e13), bandwidth_bytes_per_s=1e13),
    "fast in bf16": replace(cpu(fp32=4e13, bf16=1e14), bandwidth_bytes_per_s=1e13),
}
X, W, IMAGES, SCORES = (2048, 1024), (1024, 1024), (8, 64, 32, 32), (16, 512, 512)
ATTENTION = (
    op("bmm", (16, 512, 64), (16, 64, 512)), op("div", SCORES, ()),
    op("_softmax", SCORES, (), (), concrete=("", "-1", "False")), op("bmm", SCORES, (16, 512, 64)),
)  # fmt: skip
FLAT = (524288, 64, 32768, 1)
PARAMETERS = (W, W)
ITEMS = (
    # a forward pass of many kinds of layers, which begins with the one that is numbered
    forward(op("mm", X, W), 3),
    inside("scaled_dot_product_attention", *ATTENTION), *ATTENTION,
    op("mm", X, W, dtypes="bf16"), op("mm", X, W, dtypes="bf16"), op("add", X, (1024,), ()),
    op("mm", X, W, kernel="sgemm_align1"), op("silu", X), op("mm", X, W), op("mul", X, X), op("gelu", X),
    *(op("copy_", X, X, (), dtypes=("fp32", "bf16", None)) for _ in range(2)), op("pow", X, ()),
    op("mean", X, (), (), (), concrete=("", "[-1]", "True", "")), op("add", (2048, 1), (), ()),
    op("rsqrt", (2048, 1)), op("mul", X, (2048, 1)), op("mul", X, (1024,)), op("mul", X, (1024,)),
    op("neg", (2048, 512)), op("cat", ((2048, 512), (2048, 512)), (), concrete=("", "-1")),
    op("mul", X, (1024,)),
    op("add", X, X, ()), op("native_layer_norm", X, (), (1024,), (1024,), ()),
    op("native_dropout", X, (), ()), op("relu", X),
    inside("contiguous", op("clone", (8, 512, 16, 64), (), strides=(FLAT, ()), concrete=("", "0"))),
    inside("reshape", op("copy_", (8, 512, 16, 64), (8, 512, 16, 64), (), strides=(FLAT[::-1], FLAT, ()))),
    op("cudnn_convolution", IMAGES, (64, 64, 3, 3), (), (), (), (), (), (), (), kernel="nchwToNhwcKernel"),
    op("native_batch_norm", IMAGES, *((64,),) * 4, (), (), ()), op("relu", IMAGES),
    op("embedding", (50_000, 64), (2048,), (), (), ()),
    op("_log_softmax", X, (), ()), op("nll_loss_forward", X, (2048,), (), (), ()),
    op("linalg_vector_norm", W, (), (), (), ()), op("_weight_int8pack_mm", X, W, (1024,)),
    *(op("exp", X, dtypes="fp64") for _ in range(3)),
    annotation("DataParallel.forward", annotation("Gather")),
    # a training step of two batches
    *(each for number in (1, 2) for each in (
        forward(op("mm", X, W), number),
        backward("MmBackward0", op("mm", W, X), op("threshold_backward", X, X, ()), sequence=number),
        backward("EmbeddingBackward0", op("embedding_dense_backward", (2048, 64), (2048,), (), (), ())),
        backward("torch::autograd::AccumulateGrad", op("add_", W, W, ())),
    )),
    *(op("linalg_vector_norm", W, (), (), (), ()) for _ in range(20)),
    *(op("mul_", W, ()) for _ in range(20)),
    annotation("Optimizer.step#AdamW.step", op("_foreach_lerp_", PARAMETERS, PARAMETERS, ()),
               op("_foreach_mul_", PARAMETERS, ()), op("_foreach_addcdiv_", *(PARAMETERS,) * 3, ())),
    annotation("Optimizer.step#SGD.step", op("mul_", W, ()), op("add_", W, W, ())),
    annotation("Optimizer.zero_grad#SGD.zero_grad", op("zero_", W), op("_foreach_zero_", PARAMETERS)),
)  # fmt: skip


def _in_bf16(item: Item) -> bool:
    return item.call is not None and item.call.dtypes[:1] == ("bf16",)


@cache
def whole(evidence: bool, device: str = GPU) -> StepGraph:
    """With what is proved of every operator's result and argument, or nothing."""
    items = [each for each in ITEMS if device != "fast in bf16" or not _in_bf16(each)]
    graph = scene(*items, steps=2, on_cpu=device != GPU, device=CPUS.get(device, device))
    if not evidence:
        return graph
    pairs = [(place, place + 1) for place in range(len(graph.nodes) - 1)]
    tensors = {(node.place, i): (-1, (1, 0, 64)) for node in graph.nodes for i in range(3)}
    return handed(graph, *pairs, tensors=tensors)


STRIPPED: dict[str, Callable[[OpCall], OpCall]] = {
    "nothing": lambda call: call,
    "dims": lambda call: replace(call, shapes=()),
    "dims of all tensors": lambda call: replace(call, shapes=((),) * len(call.shapes)),
    "dims of the last input": lambda call: replace(call, shapes=call.shapes[:-1]),
    "dims of all but the first": lambda call: replace(call, shapes=call.shapes[:1]),
    "types": lambda call: replace(call, dtypes=(), types=()),
    "canonical types": lambda call: replace(call, dtypes=(None,) * len(call.dtypes)),
    "types of the last input": lambda call: replace(call, dtypes=call.dtypes[:-1], types=call.types[:-1]),
    "types of list items": lambda call: replace(call, list_dtype=None),
    "strides": lambda call: replace(call, input_strides=()),
    "strides of the last input": lambda call: replace(call, input_strides=call.input_strides[:-1]),
    "concrete inputs": lambda call: replace(call, concrete=()),
    "values of concrete inputs": lambda call: replace(call, concrete=("",) * len(call.concrete)),
    "all but the name": lambda call: OpCall(call.name),
}  # fmt: skip


@cache
def told_to_rules(field: str, evidence: bool, device: str = GPU) -> StepGraph:
    """A step whose operators are priced, and whose calls then lack a field: what rules read themselves."""
    graph = whole(evidence, device)
    return replace(graph, nodes=tuple(replace(n, call=STRIPPED[field](n.call)) for n in graph.nodes))


@cache
def recorded(field: str) -> StepGraph:
    """A step of a trace that lacks the field: what is priced and judged from it as well."""
    trace = whole(False).trace
    stripped = replace(trace, calls=tuple(STRIPPED[field](call) for call in trace.calls))
    device = DeviceMatch(whole(False).device)
    graph = step_graph(judge(price(stripped), 0, select_window(stripped, 0, "complete"), device))
    assert graph is not None
    return graph


def test_the_step_gives_many_rules_something_to_find() -> None:
    graphs = [whole(True, device) for device in (GPU, *CPUS)]
    found = {rule.name for rule in RULES for graph in graphs if list(rule.find(graph, Free()))}
    assert len(found) > len(RULES) / 2, {rule.name for rule in RULES} - found


@pytest.mark.parametrize("field", STRIPPED)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_fails_without(rule: Rule, field: str) -> None:
    on_cpus = [told_to_rules(field, True, device) for device in CPUS]
    for graph in (told_to_rules(field, True), told_to_rules(field, False), recorded(field), *on_cpus):
        for match in rule.find(graph, Free()):
            assert match.bytes_saved is None or match.bytes_saved >= 0
            assert match.saved is None or 0 <= match.saved.low <= match.saved.mid <= match.saved.high


def idle(graph: StepGraph) -> StepGraph:
    """The same step on a device that never worked."""
    time = msgspec.structs.replace(graph.judged.time, busy_ns=0, idle_ns=0, idle_by_cause=())
    return replace(graph, judged=replace(graph.judged, time=time, rows=()))


def without_costs(graph: StepGraph) -> StepGraph:
    nodes = (replace(n, cost=None, elements=0, reduced=None, time_ns=0) for n in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def without_phases(graph: StepGraph) -> StepGraph:
    return replace(graph, nodes=tuple(replace(n, phase=None, module=None) for n in graph.nodes))


EMPTIED: dict[str, Callable[[StepGraph], StepGraph]] = {
    "nodes": lambda graph: replace(graph, nodes=(), edges=(), argument_tensors={}),
    "edges": lambda graph: replace(graph, edges=()),
    "busy time": idle,
    "costs": without_costs,
    "phases": without_phases,
    "times of records": lambda graph: replace(graph, nodes=tuple(replace(n, time_ns=0) for n in graph.nodes)),
}


@pytest.mark.parametrize("part", EMPTIED)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_fails_on_a_step_without(rule: Rule, part: str) -> None:
    for graph in (EMPTIED[part](whole(True)), EMPTIED[part](whole(False))):
        list(rule.find(graph, Free()))
