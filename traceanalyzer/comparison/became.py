"""Operators that were many and are one: generated kernels by their names, attention, optimizers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import msgspec

from traceanalyzer.comparison.names import generated, holds, plain
from traceanalyzer.comparison.sides import Row
from traceanalyzer.records.comparison import How


class Became(msgspec.Struct, frozen=True):
    """Many rows of one side that are one or few of the other, and what shows it."""

    base: tuple[Row, ...]
    head: tuple[Row, ...]
    evidence: str


Find = Callable[[Sequence[Row], Sequence[Row]], Iterator[Became]]

_ATTENTION = re.compile(r"_?scaled_dot_product|_?(?:flash|efficient|cudnn)_attention|fmha")
_SCORES = re.compile(r"_?(?:safe_)?softmax(?:_backward_data)?$")
_PRODUCTS = frozenset({"bmm", "baddbmm", "matmul"})
_FUSED_STEP = re.compile(r"_fused_(?:adam|adamw|sgd|adagrad)$")
_LISTS = re.compile(r"_foreach_")


def compiled(many: Sequence[Row], few: Sequence[Row]) -> Iterator[Became]:
    """Rows named inside a generated kernel of the same phase, each given to the one that fits it best."""
    kernels = [(row, parts) for row in few if (parts := generated(row.row.name)) is not None]
    given: dict[int, list[Row]] = defaultdict(list)
    for row in many:
        if generated(row.row.name) is not None:
            continue
        best = max(
            (number for number, (kernel, parts) in enumerate(kernels)
             if kernel.row.phase == row.row.phase and holds(parts, row.row.name)),
            key=lambda number: _fit(row, kernels[number][0]), default=None,
        )  # fmt: skip
        if best is not None:
            given[best].append(row)
    for number, rows in sorted(given.items()):
        names = ", ".join(dict.fromkeys(plain(row.row.name) for row in rows))
        yield Became(tuple(rows), (kernels[number][0],), f"the kernel's name holds {names}")


def _fit(row: Row, kernel: Row) -> tuple[bool, int]:
    """Whether the kernel works on a tensor of the row's size, and how long it takes."""
    return _largest(row) in _sizes(kernel), kernel.time_ns


def attention(many: Sequence[Row], few: Sequence[Row]) -> Iterator[Became]:
    """Products, softmax and what works on the scores between them became one call."""
    for phase in ("forward", "backward", "recompute", None):
        calls = tuple(row for row in few if row.row.phase == phase and _ATTENTION.search(plain(row.row.name)))
        scores = [row for row in many if row.row.phase == phase and _SCORES.match(plain(row.row.name))]
        if not calls or not scores:
            continue
        sizes = {_largest(row) for row in scores}
        parts = tuple(
            row for row in many if row.row.phase == phase
            and (row in scores or sizes & (_sizes(row) | _product_sizes(row)))
            and generated(row.row.name) is None
        )  # fmt: skip
        yield Became(parts, calls, "products, softmax and what works on tensors of the scores' size")


def optimizer(many: Sequence[Row], few: Sequence[Row]) -> Iterator[Became]:
    """What an optimizer's step did one by one, or in lists, became one fused step or fewer lists."""
    for is_one in (_FUSED_STEP, _LISTS):
        steps = tuple(
            row for row in few if row.row.phase == "optimizer" and is_one.match(plain(row.row.name))
        )
        parts = tuple(
            row for row in many if row.row.phase == "optimizer" and not is_one.match(plain(row.row.name))
        )
        if steps and parts:
            yield Became(parts, steps, "the operators of the optimizer's step")
            return


FINDERS: tuple[tuple[How, Find], ...] = (
    ("fused", attention), ("fused", optimizer), ("fused", compiled),
)  # fmt: skip


def _largest(row: Row) -> int:
    return max(_sizes(row), default=0)


def _sizes(row: Row) -> set[int]:
    """Elements of each tensor that is given to it."""
    return {size for dims in row.row.input_dims or () for size in _elements(dims)}


def _product_sizes(row: Row) -> set[int]:
    """Elements of what a product of its last two tensors has, which no argument says."""
    tensors = [dims for dims in row.row.input_dims or () if len(dims) > 1 and isinstance(dims[0], int)]
    if plain(row.row.name) not in _PRODUCTS or len(tensors) < 2:
        return set()
    left, right = tensors[-2:]
    return {prod(left[:-1]) * right[-1]}


def _elements(dims: Any) -> Iterator[int]:
    if isinstance(dims, tuple | list) and dims:
        if isinstance(dims[0], tuple | list):
            for each in dims:
                yield from _elements(each)
        else:
            yield prod(dims)
