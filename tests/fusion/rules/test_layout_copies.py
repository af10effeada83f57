"""Copies into another layout that a script asks for, and those that it does not."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, inside, op, scene

X = (8, 512, 16, 64)
BYTES = 2 * 8 * 512 * 16 * 64
PERMUTED, PLAIN = (524288, 64, 32768, 1), (524288, 1024, 64, 1)
CONTIGUOUS, PRESERVE = "0", "1"


def clone(strides: tuple[int, ...] = PERMUTED, memory_format: str = CONTIGUOUS) -> Item:
    return op("clone", X, (), dtypes="bf16", strides=(strides, ()), concrete=("", memory_format))


def copy(into: tuple[int, ...], source: tuple[int, ...], *dims: tuple[int, ...], kinds: str = "bf16") -> Item:
    return op("copy_", *(dims or (X, X)), (), dtypes=("bf16", kinds, None), strides=(into, source, ()),
              concrete=("", "", "False"))  # fmt: skip


def test_a_copy_that_changes_the_layout_saves_itself_at_most() -> None:
    (match,) = found_by(scene(inside("contiguous", clone())), "layout_copies")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == match.nodes[0].time_ns
    assert match.bytes_saved == 2 * BYTES


def test_a_reshape_copies_as_well() -> None:
    assert "layout_copies" in claims(scene(inside("reshape", inside("clone", copy(PLAIN, PERMUTED)))))


@pytest.mark.left_out
@pytest.mark.parametrize("item", [
    inside("contiguous", clone(PLAIN)),                            # it is contiguous already
    clone(memory_format=PRESERVE), clone(memory_format=""),        # a copy to be kept, of the same layout
    inside("convolution", inside("contiguous", clone())),          # the convolution's own
    inside("matmul", inside("reshape", clone())),                  # a matmul's
    copy(PLAIN, PERMUTED),                                         # into a tensor that is there: a cache
    inside("contiguous", copy(PLAIN, PERMUTED, kinds="fp32")),     # a cast
    inside("contiguous", copy((64, 64, 1), (4096, 64, 1), (1, 8, 64), (1, 8, 64))),  # of one element only
], ids=["plain", "preserve", "default", "convolution", "matmul", "cache", "cast", "one"])  # fmt: skip
def test_what_keeps_its_layout_or_is_needed(item: Item) -> None:
    assert "layout_copies" not in claims(scene(item))


@pytest.mark.parametrize("dims", [(), (X,), ((), ())], ids=["none", "one", "scalars"])
def test_strides_without_dims_say_nothing(dims: tuple[tuple[int, ...], ...]) -> None:
    strides = PLAIN, PERMUTED
    unknown = op("copy_", *dims, dtypes="bf16", strides=strides)
    assert "layout_copies" not in claims(scene(inside("contiguous", unknown)))
