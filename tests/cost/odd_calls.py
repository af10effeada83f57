"""Calls as a trace may record them, for every formula: plausible ones, and what may be left of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, cast

import torch
from msgspec.structs import replace

from tests.cost.calls import call_of
from tests.cost.test_batches import arguments
from tests.cost.test_by_hand import CASES as BY_HAND
from tests.cost.test_packages import CASES as OF_PACKAGES
from tests.cost.test_packages import RANGES as BETWEEN
from traceanalyzer.cost import FORMULAS, price_call
from traceanalyzer.cost.registry import USER_TRITON
from traceanalyzer.records import Bounded, Cost, Dims, OpCall, Sequences
from traceanalyzer.records.units import ITEMSIZE

INPUTS = 18  # more than any operator has
ENDINGS = ("", "x", "fused_add_mul_0", "fused_mm_0", "_mul_", "norm")
HUGE = 10**5000  # more digits than Python turns into text
SIZES = (0, 1, 2, 3, 4, 7, 64, -1, -8, 2**31, 2**62, 2**63 - 1, 2**63, HUGE)
TEXTS = (
    "", "[]", "[1, 1]", "[0, 0]", "[-1]", "[1]", "[2, 2, 2]", "[1, 1, 1, 1, 1]", "True", "False", "0", "-1",
    "1", "2", "5", "-7", "1e-05", "None", "[[1, 2], []]", "nan", "inf", "mean", "'same'", "<Tensor>",
    "[1, 2", "9" * 30, "9" * 5000, "[" + "9" * 5000 + "]", "-" + "9" * 5000, "[-1, -1]", "٣", " 1 ", "in",
    "out", str(2**62), str(2**63), f"[{2**62}, 4]", "[True, False, True]", "[True, False]", "\0", "\ud800",
)  # fmt: skip
TYPES = ("", "Scalar", "ScalarList", "TensorList", "GenericList", "c10::Half", "float", "?")
OUTPUTS = (None, (), (4, 4), (4, -4), (2**62, 4), (HUGE,))
DTYPES = (None, *sorted(ITEMSIZE))


def names_of(pattern: str) -> list[str]:
    """Operators that a formula of this name is for."""
    return [pattern.replace("*", ending) for ending in ENDINGS] if "*" in pattern else [pattern]


@cache
def by_function() -> dict[Callable[[OpCall], Cost], list[OpCall]]:
    """Calls with real arguments that the tests of the formulas work out, by the formula's function."""
    found: dict[Callable[[OpCall], Cost], list[OpCall]] = {}
    worked_out = (*BY_HAND, *OF_PACKAGES, *BETWEEN)
    cases = [(name, given) for name, given, *_ in worked_out] + list(arguments(3).items())
    for name, given in cases:
        formula = FORMULAS.get(name)
        if formula is not None:
            found.setdefault(formula.price, []).append(call_of(name, *given))
    return found


def alike(dims: Sequence[Dims], text: str = "1", dtype: str = "fp32") -> OpCall:
    """A call with so many inputs of one type; every argument is recorded as a text too."""
    count, strides = len(dims), tuple(_contiguous(d) for d in dims)
    lists = bool(dims) and bool(dims[0]) and isinstance(dims[0][0], tuple)
    types = ("TensorList" if lists else "float",) * count
    return OpCall(
        "", tuple(dims), (dtype,) * count, types, strides, (text,) * INPUTS, "fp32" if lists else None
    )


def _contiguous(dims: Dims) -> Dims:
    if dims and isinstance(dims[0], tuple):
        return cast(Dims, tuple(_contiguous(cast(Dims, d)) for d in dims))
    made, step = [], 1
    for size in reversed(dims):
        made.append(step)
        step *= size  # type: ignore[operator]
    return tuple(reversed(made))


WORDS = ("1", "[]", "[1]", "[1, 1]", "[2, 2, 2]", "in", "True", "[1, 1, 1, 1]")
ALIKE = [
    alike([dims] * count, text)
    for dims in ((4,), (4, 4), (4, 4, 4), (4, 4, 4, 4), (4, 4, 4, 4, 4), ((4, 4), (4,)))
    for count in (1, 3, 6, INPUTS)
    for text in WORDS
]
ROWS = torch.zeros(4, dtype=torch.int64)
FURTHER: dict[str, list[OpCall]] = {
    USER_TRITON: [replace(alike([(4, 4)] * 2), triton=True, stated_flops=32)],
    "aten::nonzero": [replace(alike([(4, 4)]), output=(3, 2))],
    "aten::index_put_": [call_of("", torch.zeros(8, 4), [ROWS], torch.zeros(4, 4), "True")],
    "vllm::unified_attention": [
        replace(alike([(4, 4, 4)] * 4), batch=(Sequences(1, 3, 9, 9, 27), Sequences(1, 1, 5, 1, 5)))
    ],
    "aten::_chunk_cat": [call_of("", [torch.zeros(4, 4)], 0, 2)],
    "aten::_scaled_mm_v2": [
        call_of("", torch.zeros(4, 8), torch.zeros(8, 4), [ROWS], [0], [0], [ROWS], [0], [0], None, "")
    ],
}


def plausible(pattern: str) -> list[OpCall]:
    """Calls of a formula's operators."""
    bases = [*by_function().get(FORMULAS[pattern].price, ()), *FURTHER.get(pattern, ())]
    return [replace(base, name=name) for name in names_of(pattern) for base in (*bases, *ALIKE)]


Items = tuple[Any, ...]


def without(random: Random, items: Items) -> Items:
    return ()


def nothing(random: Random, item: Any) -> Any:
    """What stands for an input that was not recorded: no dims, no type, no text."""
    return None if item is None else type(item)()


def shortened(random: Random, items: Items) -> Items:
    return items[: random.randrange(len(items) + 1)]


def lengthened(random: Random, items: Items) -> Items:
    return (*items, *random.choices(items, k=random.randint(1, 9))) if items else ()


def swapped(random: Random, items: Items) -> Items:
    return tuple(random.sample(items, len(items)))


def one_changed(change: Callable[[Random, Any], Any]) -> Callable[[Random, Items], Items]:
    """The same, but for one item."""

    def changed(random: Random, items: Items) -> Items:
        if not items:
            return items
        place = random.randrange(len(items))
        return (*items[:place], change(random, items[place]), *items[place + 1 :])

    return changed


def odd_dims(random: Random, dims: Any) -> Any:
    """Sizes that are absent, too few, too many, negative, huge, or of a list where a tensor is expected."""
    kind = random.randrange(8)
    if kind == 0 or not dims and kind < 7:
        return random.choice(((), (random.choice(SIZES),)))
    if kind == 1:
        return dims[:-1]
    if kind == 2:
        return (*dims, random.choice(dims))
    if kind == 3:
        return (dims,) * random.randint(1, 3)
    if kind == 4:
        return dims[0] if isinstance(dims[0], tuple) else (dims[0], dims)
    if kind == 5:
        return tuple(random.choice(SIZES) for _ in dims)
    if kind == 6 and dims and not isinstance(dims[0], tuple):
        place = random.randrange(len(dims))
        return (*dims[:place], random.choice(SIZES), *dims[place + 1 :])
    return tuple(random.choice(SIZES) for _ in range(random.randint(0, 6)))


CHANGES: dict[str, list[Callable[[Random, Items], Items]]] = {
    "shapes": [without, shortened, lengthened, swapped, one_changed(nothing), *[one_changed(odd_dims)] * 5],
    "dtypes": [without, shortened, lengthened, swapped, one_changed(lambda random, _: random.choice(DTYPES))],
    "types": [without, shortened, lengthened, one_changed(lambda random, _: random.choice(TYPES))],
    "input_strides": [without, shortened, lengthened, swapped, one_changed(odd_dims)],
    "concrete": [
        without, shortened, lengthened, swapped,
        *[one_changed(lambda random, _: random.choice(TEXTS))] * 5,
    ],
}  # fmt: skip


def changed(random: Random, call: OpCall) -> OpCall:
    """The call with one to three of its columns as another trace may have them."""
    for column in random.choices(list(CHANGES), k=random.randint(1, 3)):
        change = random.choice(CHANGES[column])
        columns: dict[str, Any] = {column: change(random, getattr(call, column))}
        call = replace(call, **columns)
    if random.random() < 0.1:
        call = replace(call, output=random.choice(OUTPUTS), list_dtype=random.choice(DTYPES))
    return call


TRIES = 8  # to find a call that is priced as it is


def odd_calls(pattern: str, count: int) -> Iterator[OpCall]:
    """So many calls of a formula's operators, the same ones every time."""
    random = Random(pattern)
    calls = plausible(pattern)
    own = len(calls) // len(names_of(pattern)) - len(ALIKE)  # of arguments that the formula was written for
    for _ in range(count):
        chosen = random.choices(calls[:own] if own and random.random() < 0.5 else calls, k=TRIES)
        base = next((call for call in chosen if isinstance(price_call(call), Cost | Bounded)), chosen[0])
        yield changed(random, base)
