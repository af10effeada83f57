"""What a compiler can make of each operator, and how large the loop is that it would make."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import torch

from tests.cost.calls import call_of
from traceanalyzer.cost import FORMULAS
from traceanalyzer.cost.catalog import BUILT_IN, Formulas
from traceanalyzer.cost.fusible import BATCH_NORMS, DIM, GROUP_NORMS, NORMALIZED_SHAPE, elements, reduced
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.records.priced import Formula, Fusible

KINDS = {
    "element": """add add_ mul div sub neg exp tanh sigmoid relu_ gelu gelu_backward silu silu_backward where
        masked_fill threshold_backward copy_ _to_copy clone fill_ zeros ones_like tril native_dropout
        native_dropout_backward mse_loss_backward nll_loss_backward contiguous to bernoulli_ rand_like eq
        lt logical_not pow sqrt lerp addcmul""",
    "reduction": """_softmax _log_softmax _softmax_backward_data native_layer_norm native_layer_norm_backward
        native_batch_norm native_batch_norm_backward native_group_norm _fused_rms_norm sum mean amax argmax
        var var_mean norm linalg_vector_norm logsumexp prod any mse_loss binary_cross_entropy""",
    "pieces": "cat stack constant_pad_nd reflection_pad2d block_diag",
    "gather": "embedding index_select index gather take take_along_dim _unsafe_index",
    "scatter": """index_add index_add_ index_put_ _index_put_impl_ scatter_ scatter_add_ index_copy_
        embedding_dense_backward""",
    "opaque": """mm addmm bmm baddbmm linear matmul mv convolution convolution_backward cudnn_convolution
        scaled_dot_product_attention _scaled_dot_product_flash_attention _flash_attention_backward sort topk
        cumsum cumprod scatter_reduce_ index_reduce_ index_fill_ _embedding_bag nonzero unique_dim
        nll_loss_forward max_pool2d_with_indices avg_pool2d upsample_bilinear2d
        im2col _cudnn_rnn _fft_c2c linalg_inv_ex _foreach_* _fused_adamw_ view item complex polar
        _amp_update_scale_""",
}


@pytest.mark.parametrize("kind", KINDS)
def test_operators_fuse_as_a_compiler_fuses_them(kind: str) -> None:
    said = {name: FORMULAS[f"aten::{name}"].fusible for name in KINDS[kind].split()}
    assert set(said.values()) == {kind}, {name: each for name, each in said.items() if each != kind}


def test_each_formula_says_one_of_these() -> None:
    assert {formula.fusible for formula in FORMULAS.values()} == set(get_args(Fusible)) == set(KINDS)


def test_only_operators_of_torch_itself_are_joined_with_others() -> None:
    """What a package or a compiler has fused by hand is a kernel of its own."""
    assert all(name.startswith("aten::") for name, f in FORMULAS.items() if f.fusible != "opaque")


@pytest.mark.parametrize("kind", ["element", "reduction", "scatter"])
def test_an_operator_in_place_fuses_as_the_one_out_of_place(kind: str) -> None:
    names = [name for name, formula in FORMULAS.items() if formula.fusible == kind]
    assert all(FORMULAS[other].fusible == kind for name in names if (other := f"{name}_") in FORMULAS)


def t(*dims: int) -> torch.Tensor:
    return torch.empty(dims)


ROWS, IMAGE, V = t(10, 48), t(2, 6, 5, 4), t(48)
# (op, arguments, elements of the loop, elements that become one)
LOOPS: list[tuple[str, tuple[Any, ...], int, int | None]] = [
    ("aten::add", (ROWS, V, 1), 480, None),
    ("aten::add", (t(10, 1), t(1, 48), 1), 480, None),  # larger than what is read
    ("aten::embedding", (t(3, 48), torch.empty(10, dtype=torch.int32)), 480, None),
    ("aten::index_select", (t(3, 48), 0, torch.empty(10, dtype=torch.int64)), 480, None),
    ("aten::gather", (t(3, 48), 0, torch.empty(2, 48, dtype=torch.int64)), 96, None),
    ("aten::index_add_", (t(3, 48), 0, torch.empty(10, dtype=torch.int64), ROWS, 1), 480, None),
    ("aten::embedding_dense_backward", (ROWS, torch.empty(10, dtype=torch.int64), 3, -1, "False"), 480, None),
    ("aten::zeros", ([10, 48], "", "", "", ""), 480, None),
    ("aten::mm", (ROWS, t(48, 3)), 480, None),
    ("aten::sum", (ROWS, [1], "False", ""), 480, 48),
    ("aten::sum", (ROWS, [0], "True", ""), 480, 10),
    ("aten::mean", (IMAGE, [2, 3], "False", ""), 240, 20),
    ("aten::_softmax", (ROWS, -1, "False"), 480, 48),
    ("aten::_softmax", (ROWS, 0, "False"), 480, 10),
    ("aten::_softmax_backward_data", (ROWS, ROWS, 1, 6), 480, 48),
    ("aten::_masked_softmax", (ROWS, torch.empty(10, 48, dtype=torch.bool), 0), 480, 10),
    ("aten::_masked_softmax_backward", (ROWS, ROWS, torch.empty(10, 48, dtype=torch.bool), 0), 480, 10),
    ("aten::native_layer_norm", (ROWS, [48], V, V, 1e-5), 480, 48),
    ("aten::native_layer_norm_backward", (ROWS, ROWS, [48], t(10, 1), t(10, 1), V, V), 480, 48),
    ("aten::native_batch_norm", (IMAGE, t(6), t(6), t(6), t(6), "True", 0.1, 1e-5), 240, 40),
    ("aten::native_group_norm", (IMAGE, t(6), t(6), 2, 6, 20, 2, 1e-5), 240, 120),
    ("aten::native_batch_norm", (t(2, 0, 4), t(0), t(0), t(0), t(0), "True", 0.1, 1e-5), 0, 0),
    ("aten::native_batch_norm", (t(8), t(6), t(6), t(6), t(6), "True", 0.1, 1e-5), 8, None),  # no channels
    ("aten::_softmax", (ROWS, 5, "False"), 480, None),  # no such dimension
    ("aten::_softmax", (ROWS, "", "False"), 480, None),  # not recorded which
    ("aten::mm", (ROWS, t(47, 3)), 0, None),  # that is no product
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "size", "length"), LOOPS, ids=[f"{x[0]}-{i}" for i, x in enumerate(LOOPS)]
)
def test_the_loop(name: str, given: tuple[Any, ...], size: int, length: int | None) -> None:
    priced = BUILT_IN.price(call_of(name, *given))
    assert (elements(priced), reduced(priced)) == (size, length)


def test_arguments_are_where_torch_has_them() -> None:
    places = {name: ("dim", place) for name, place in DIM.items()}
    places |= {name: ("normalized_shape", place) for name, place in NORMALIZED_SHAPE.items()}
    for name, (argument, place) in places.items():
        schema = getattr(torch.ops.aten, name.removeprefix("aten::")).default._schema
        assert schema.arguments[place].name == argument, name


def test_every_reduction_over_rows_or_channels_is_listed() -> None:
    """By whole names; a norm is a reduction of all or of some dims, and is known by what it writes."""
    listed = {*DIM, *NORMALIZED_SHAPE, *BATCH_NORMS, *GROUP_NORMS}
    alike = {
        name for name, formula in FORMULAS.items()
        if formula.fusible == "reduction" and re.search("softmax|_norm", name)
    }  # fmt: skip
    assert listed == alike - {"aten::linalg_vector_norm"}


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "batch_norm", "group_norm_backward"])
@pytest.mark.parametrize(
    ("writes", "length"), [(10, 48), (480, 1)], ids=["one for each row", "as many as it reads"]
)
def test_a_like_name_of_a_library_is_not_read_as_aten_s(name: str, writes: int, length: int) -> None:
    def price(call: OpCall) -> Cost:
        return Cost(480, 4 * 480, 4 * writes)

    op = f"mylib::my_{name}"
    catalog = Formulas((Formula(op, price, "mylib", fusible="reduction"),))
    assert reduced(catalog.price(call_of(op, ROWS, 0, 1, [10, 48], [48]))) == length
