"""Priced bytes are those that operators truly read and write, watched while small models are trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
import torch

from tests.cost.live import Seen, Watch, trainings
from traceanalyzer.cost import formula_of, price
from traceanalyzer.model import Cost, OpCall, Unpriced
from traceanalyzer.trace import load

Pair = tuple[OpCall, Seen]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Each distinct recorded call, with what a watched run of the same training saw of it."""
    found: dict[OpCall, Seen] = {}
    for number, training in enumerate(trainings()):
        with Watch() as watch:
            training()
        with torch.profiler.profile(record_shapes=True) as profiler:
            training()
        path = tmp_path_factory.mktemp("live") / f"{number}.json"
        profiler.export_chrome_trace(str(path))
        calls = recorded(path)
        for name, seen in watch.seen.items():
            if len(calls[name]) == len(seen):
                found.update({call: one for call, one in zip(calls[name], seen, strict=True)})
    return list(found.items())


def recorded(path: Path) -> dict[str, list[OpCall]]:
    """Calls by operator in the order of time, those apart that an operator of the same name makes."""
    trace = load(str(path))
    ops = trace.ops
    calls: dict[str, list[OpCall]] = defaultdict(list)
    for row in ops.start_ns.argsort(kind="stable").tolist():
        if ops.call[row] >= 0:
            calls[trace.names[ops.name[row]]].append(trace.calls[ops.call[row]])
    return calls


# What the schema does not say: operators that touch other elements than their inputs and outputs have.
ROWS = 4 * 32  # bytes of a row of the embedding's table
TRUTH: dict[str, Callable[[OpCall, Seen], tuple[int, int]]] = {
    # a row of the table for every index, whichever rows the table has
    "aten::embedding": lambda call, seen: (3 * 17 * (ROWS + 8), seen.write_bytes),
    # the table is filled with zeros; then the rows asked for are read and written
    "aten::embedding_dense_backward": lambda call, seen: (
        seen.read_bytes + 3 * 17 * ROWS, seen.write_bytes + 3 * 17 * ROWS),
    "aten::index_select": lambda call, seen: (seen.write_bytes + 3 * 8, seen.write_bytes),
    "aten::gather": lambda call, seen: (seen.write_bytes + 8 * 48, seen.write_bytes),
    # one probability a row, and the label
    "aten::nll_loss_forward": lambda call, seen: (call.shapes[0][0] * (4 + 8), seen.write_bytes),
    # labels; the incoming gradient is a number
    "aten::nll_loss_backward": lambda call, seen: (call.shapes[1][0] * 8, seen.write_bytes),
    # in training the running mean and variance are written as well
    "aten::native_batch_norm": lambda call, seen: (
        seen.read_bytes, seen.write_bytes + 8 * call.shapes[1][0] * (call.concrete[5] == "True")),
    # gradients are only read, unless they are unscaled; the count of steps is a number
    "aten::_fused_adamw_": lambda call, seen: tuple(n * 4 * sum(map(prod, call.shapes[0])) for n in (4, 3)),
    # each element's loss is written; the mean of them is an operator of its own
    **dict.fromkeys(
        ("aten::mse_loss", "aten::smooth_l1_loss", "aten::huber_loss", "aten::binary_cross_entropy",
         "aten::binary_cross_entropy_with_logits"),
        lambda call, seen: (seen.read_bytes, 4 * prod(call.shapes[0]))),
}  # fmt: skip
UNPRICED = {"aten::randint"}  # its size is an argument that is not among the recorded dims


def test_bytes(pairs: list[Pair]) -> None:
    wrong, compared = [], set()
    for call, seen in pairs:
        formula = formula_of(call.name)
        if formula is None or formula.role == "free" or not any(call.shapes):  # the last: nothing but numbers
            continue
        cost = price(replace(call, list_dtype=call.list_dtype or "fp32"))
        if isinstance(cost, Unpriced):
            assert call.name in UNPRICED, (call, cost)
            continue
        truth = TRUTH[call.name](call, seen) if call.name in TRUTH else (seen.read_bytes, seen.write_bytes)
        compared.add(call)
        if (cost.read_bytes, cost.write_bytes) != truth:
            wrong.append(f"{call.name} {call.shapes} {call.concrete}: {cost} for {truth}")
    assert not wrong, "\n".join(wrong)
    assert len(compared) >= 300 and len({call.name for call in compared}) >= 100


def test_bytes_are_never_below_what_is_touched(pairs: list[Pair]) -> None:
    """However an operator is priced: inputs that it must read and outputs that it must write are there."""
    for call, seen in pairs:
        cost, formula = price(replace(call, list_dtype=call.list_dtype or "fp32")), formula_of(call.name)
        if formula is None or formula.role == "free" or call.name in TRUTH or not any(call.shapes):
            continue
        if isinstance(cost, Cost):
            assert cost.bytes >= seen.read_bytes + seen.write_bytes, call
