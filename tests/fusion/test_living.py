"""What being the only tensor of its size proves and what it does not, by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.trace.build import Rows
from traceanalyzer.cost.price import price
from traceanalyzer.fusion.evidence.free_events import lifetimes_of
from traceanalyzer.fusion.evidence.unique_block import only_one
from traceanalyzer.fusion.step_ops import step_ops
from traceanalyzer.records import Dims, OpCall
from traceanalyzer.records.trace import Step, Trace

X = (64, 128)
BYTES = 4 * 64 * 128
DENSE = (128, 1)
STEP = Step("ProfilerStep#1", 1, 0, 10_000)


def call(name: str, *shapes: Dims, strides: Dims = DENSE) -> OpCall:
    kinds = tuple("fp32" if s else None for s in shapes)
    types = tuple("float" if s else "" for s in shapes)
    each = tuple(strides if s else () for s in shapes)
    return OpCall(name, shapes, kinds, types, input_strides=each, concrete=("",) * len(shapes))


EXP, LOG, MUL = call("aten::exp", X), call("aten::log", X), call("aten::mul", X, X)


def three(last: OpCall, *blocks: tuple[int, int, int], middle: OpCall = LOG, first: OpCall = EXP) -> Trace:
    """exp at 10, `middle` at 100 and `last` at 200; `blocks`: made, freed, bytes."""
    rows = Rows()
    for begin, each in ((10, first), (100, middle), (200, last)):
        rows.op(each.name, begin, begin + 50, call=each)
    for number, (made, freed, size) in enumerate(blocks):
        rows.allocation(made, 4096 * (number + 1), size)
        rows.allocation(freed, 4096 * (number + 1), -size)
    return rows.trace()


def edges(trace: Trace) -> list[tuple[int, int]]:
    assert trace.memory is not None
    priced, lifetimes = price(trace), lifetimes_of(trace.memory)
    return sorted(only_one(priced, step_ops(priced, STEP), lifetimes, (), STEP.start_ns))


WHILE_LAST, LATER, BEHIND = 230, 240, 300  # when what exp makes is freed
OF_LOG = (110, 400, 4 * BYTES)  # of another size
OTHER = call("aten::log", (8, 8), strides=(8, 1))


def test_freed_while_its_reader_runs_at_any_distance() -> None:
    assert edges(three(MUL, (15, WHILE_LAST, BYTES), OF_LOG)) == [(0, 2)]


def test_the_only_reader_of_what_is_freed_later() -> None:
    assert edges(three(OTHER, (15, LATER, BYTES), OF_LOG)) == [(0, 1)]
    assert edges(three(MUL, (15, LATER, BYTES), OF_LOG, middle=OTHER)) == [(0, 2)]


def test_of_two_readers_the_one_during_which_it_is_freed() -> None:
    assert edges(three(MUL, (15, LATER, BYTES), OF_LOG)) == [(0, 2)]
    assert edges(three(OTHER, (15, 120, BYTES), OF_LOG, middle=MUL)) == [(0, 1)]


def test_what_outlives_the_last_operator_may_be_a_result_that_nobody_reads() -> None:
    assert edges(three(MUL, (15, BEHIND, BYTES), OF_LOG)) == []


@pytest.mark.parametrize("size", [BYTES + 384, BYTES])
def test_rounded_up_by_the_allocator(size: int) -> None:
    assert edges(three(MUL, (15, WHILE_LAST, size), OF_LOG)) == [(0, 2)]


@pytest.mark.parametrize("more", [
    (5, 300, BYTES),      # another is in use, made by nobody that is known
    (110, 300, BYTES),    # what the second makes is as large
])  # fmt: skip
def test_of_two_nobody_knows_which(more: tuple[int, int, int]) -> None:
    assert (0, 2) not in edges(three(MUL, (15, WHILE_LAST, BYTES), more))


def test_a_large_block_may_be_a_megabyte_larger_than_asked_for() -> None:
    large = (1024, 1024)
    size = 4 * 1024 * 1024
    exp, mul = (replace(each, shapes=(large,) * len(each.shapes)) for each in (EXP, MUL))
    mul = replace(mul, input_strides=((1024, 1), (1024, 1)))
    alone = three(mul, (15, WHILE_LAST, size), first=exp, middle=OTHER)
    assert edges(alone) == [(0, 2)]
    beside = three(mul, (15, WHILE_LAST, size), (5, 9000, size + 700_000), first=exp, middle=OTHER)
    assert edges(beside) == [], "either may have been given"


def test_one_that_is_gone_before_is_no_other() -> None:
    assert edges(three(MUL, (2, 8, BYTES), (15, WHILE_LAST, BYTES), OF_LOG)) == [(0, 2)]
    assert edges(three(MUL, (15, 60, BYTES), OF_LOG)) == [], "nor is it what is read"


ADD = call("aten::add_", X, ())


def test_who_changed_it_last_has_written_it() -> None:
    assert edges(three(MUL, (15, WHILE_LAST, BYTES), middle=ADD)) == [(1, 2)]
    copied = call("aten::copy_", X, (64,), strides=DENSE)
    assert edges(three(MUL, (15, WHILE_LAST, BYTES), middle=copied)) == [(1, 2)], "over what was there"


@pytest.mark.parametrize("middle", [
    ADD,                                                  # of one of two
    call("aten::add_", (64, 64), (), strides=(128, 1)),   # a part of whatever is larger
    OpCall("aten::_foreach_add_", ((X, X), ()), (None, None), ("", ""), concrete=("", "")),
], ids=["one of two", "a part", "a list"])  # fmt: skip
def test_a_change_of_who_knows_what_leaves_nothing_proved(middle: OpCall) -> None:
    assert edges(three(MUL, (15, WHILE_LAST, BYTES), (5, 190, BYTES), middle=middle)) == []


@pytest.mark.parametrize("last", [
    call("aten::mul", X, X, strides=(256, 1)),        # every other row of something larger
    call("aten::mul", X, X, strides=(0, 1)),          # one row, again and again
    replace(MUL, input_strides=()),                         # not recorded
    call("aten::mul", (64, 64), (64, 64), strides=(64, 1)),
    call("aten::copy_", X, (64,), strides=(128, 1)),  # written, not read
    call("aten::mm", X, X),                           # may take a weight from before the recording
], ids=["gaps", "expanded", "no strides", "smaller", "written", "product"])  # fmt: skip
def test_what_proves_nothing(last: OpCall) -> None:
    assert (0, 2) not in edges(three(last, (15, WHILE_LAST, BYTES), OF_LOG))


def test_transposed_is_whole() -> None:
    turned = call("aten::mul", (128, 64), (128, 64), strides=(1, 128))
    assert (0, 2) in edges(three(turned, (15, WHILE_LAST, BYTES), OF_LOG))
