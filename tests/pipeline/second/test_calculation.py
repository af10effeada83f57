"""The second calculation itself, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from tests.pipeline.second.calculation import Work, item_type, work
from tests.pipeline.second.recorded import Call


def call(name: str, *tensors: tuple[tuple[int, ...], str], concrete: tuple[str, ...] = ()) -> Call:
    rest = max(len(concrete) - len(tensors), 0)
    dims = tuple(t[0] for t in tensors) + ((),) * rest
    types = tuple(t[1] for t in tensors) + ("Scalar",) * rest
    return Call(name, dims, types, ((),) * len(dims), concrete)


HALF, FLOAT = "c10::BFloat16", "float"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (call("aten::mm", ((8, 32), HALF), ((32, 16), HALF)), Work(2 * 8 * 16 * 32, 2 * (256 + 512 + 128))),
        (call("aten::add", ((8, 4), HALF), ((4,), FLOAT), concrete=("", "", "1")),
         Work(32, 2 * 32 + 4 * 4 + 4 * 32)),                      # bf16 and fp32 give fp32
        (call("aten::add_", ((8, 4), FLOAT), ((), FLOAT), concrete=("", "", "1")), Work(32, 2 * 4 * 32)),
        (call("aten::copy_", ((8, 4), HALF), ((8, 4), FLOAT), concrete=("", "", "False")), Work(0, 6 * 32)),
        (call("aten::eq", ((8, 4), FLOAT), ((), "double")), Work(32, 5 * 32)),      # booleans of a byte
        (call("aten::sum", ((8, 4), FLOAT), concrete=("", "[1]", "False", "")), Work(None, 4 * 32 + 4 * 8)),
        (call("aten::index_select", ((100, 8), FLOAT), concrete=("", "0", "")), None),  # no index: no rule
        (call("aten::convolution", ((2, 3, 8, 8), FLOAT), ((5, 3, 3, 3), FLOAT),
              concrete=("", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "1")),
         Work(2 * 2 * 5 * 16 * 27, 4 * (2 * 3 * 64 + 5 * 27 + 2 * 5 * 16))),
        (call("aten::cudnn_convolution", ((2, 3, 8, 8), FLOAT), ((5, 3, 3, 3), FLOAT),
              concrete=("", "", "[1, 1]", "[2, 2]", "[1, 1]", "1", "False", "False", "False")),
         Work(2 * 2 * 5 * 16 * 27, 4 * (2 * 3 * 64 + 5 * 27 + 2 * 5 * 16))),
        (call("_C::rms_norm", ((8, 4), HALF), ((8, 4), HALF), ((4,), HALF)), Work(None, 2 * (32 + 32 + 4))),
    ],
)  # fmt: skip
def test_work_by_hand(given: Call, expected: Work | None) -> None:
    assert work(given) == expected


def test_strides_of_zero_are_read_once() -> None:
    expanded = Call("aten::neg", ((8, 4),), (FLOAT,), ((0, 1),), ())
    assert work(expanded) == Work(32, 4 * 4 + 4 * 32)


def test_the_type_of_a_list_from_its_kernels() -> None:
    copies = "void at::native::CatArrayBatchedCopy<at::native::OpaqueType<2u>, unsigned int, 2>"
    found = item_type([copies])
    assert found is not None and found.itemsize == 2
    assert item_type(["something_else"]) is None
