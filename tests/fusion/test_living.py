"""What being the only tensor of its size proves and what it does not, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.trace.build import Rows
from traceanalyzer.columns import Step, Trace
from traceanalyzer.cost.ownership import own
from traceanalyzer.fusion.living import only_one
from traceanalyzer.fusion.units import units
from traceanalyzer.model import Dims, OpCall

X = (64, 128)
BYTES = 4 * 64 * 128
DENSE = (128, 1)
STEP = Step("ProfilerStep#1", 1, 0, 10_000)


def call(name: str, *shapes: Dims, strides: Dims = DENSE) -> OpCall:
    kinds = tuple("fp32" if s else None for s in shapes)
    types = tuple("float" if s else "" for s in shapes)
    each = tuple(strides if s else () for s in shapes)
    return OpCall(name, shapes, kinds, types, strides=each, concrete=("",) * len(shapes))


EXP, LOG, MUL = call("aten::exp", X), call("aten::log", X), call("aten::mul", X, X)


def three(last: OpCall, *blocks: tuple[int, int, int], middle: OpCall = LOG) -> Trace:
    """exp at 10, `middle` at 100 and `last` at 200; `blocks`: made, freed, bytes."""
    rows = Rows()
    for begin, each in ((10, EXP), (100, middle), (200, last)):
        rows.op(each.name, begin, begin + 50, call=each)
    for number, (made, freed, size) in enumerate(blocks):
        rows.allocation(made, 4096 * (number + 1), size)
        rows.allocation(freed, 4096 * (number + 1), -size)
    return rows.trace()


def edges(trace: Trace) -> list[tuple[int, int]]:
    return sorted(only_one(trace, units(trace, own(trace), STEP), STEP.start_ns))


MADE_BY_EXP = (15, 300, BYTES)
OF_LOG = (110, 400, 4 * BYTES)  # of another size


def test_the_only_one_of_its_size_is_what_is_read() -> None:
    assert edges(three(MUL, MADE_BY_EXP, OF_LOG)) == [(0, 1), (0, 2)], "held for as long as it may be"


def test_rounded_up_by_the_allocator() -> None:
    assert edges(three(MUL, (15, 300, BYTES + 384), OF_LOG)) == [(0, 1), (0, 2)]


@pytest.mark.parametrize("more", [
    (5, 300, BYTES),      # another is in use, made by nobody that is known
    (110, 300, BYTES),    # what the second makes is as large
])  # fmt: skip
def test_of_two_nobody_knows_which(more: tuple[int, int, int]) -> None:
    assert (0, 2) not in edges(three(MUL, MADE_BY_EXP, more))


def test_one_that_is_gone_before_is_no_other() -> None:
    assert edges(three(MUL, (2, 8, BYTES), MADE_BY_EXP, OF_LOG)) == [(0, 1), (0, 2)]
    assert edges(three(MUL, (15, 60, BYTES), OF_LOG)) == [], "nor is it what is read"


def test_who_changed_it_last_has_written_it() -> None:
    changed = call("aten::add_", X, ())
    assert edges(three(MUL, MADE_BY_EXP, middle=changed)) == [(0, 1), (1, 2)]


def test_a_change_of_one_of_two_leaves_both_unknown() -> None:
    changed = call("aten::add_", X, ())
    assert (0, 2) not in edges(three(MUL, MADE_BY_EXP, (5, 190, BYTES), middle=changed))


@pytest.mark.parametrize("last", [
    call("aten::mul", X, X, strides=(256, 1)),        # every other row of something larger
    call("aten::mul", X, X, strides=(0, 1)),          # one row, again and again
    replace(MUL, strides=()),                         # not recorded
    call("aten::mul", (64, 64), (64, 64), strides=(64, 1)),
    call("aten::copy_", X, (64,), strides=(128, 1)),  # written, not read
    call("aten::mm", X, X),                           # may take a weight from before the recording
], ids=["gaps", "expanded", "no strides", "smaller", "written", "product"])  # fmt: skip
def test_what_proves_nothing(last: OpCall) -> None:
    assert (0, 2) not in edges(three(last, MADE_BY_EXP, OF_LOG))


def test_transposed_is_whole() -> None:
    turned = call("aten::mul", (128, 64), (128, 64), strides=(1, 128))
    assert (0, 2) in edges(three(turned, MADE_BY_EXP, OF_LOG))
