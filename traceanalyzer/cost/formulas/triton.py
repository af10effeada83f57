"""Compiled kernels: Inductor's Triton launches list every pointer they get, inputs and outputs.

Their bytes are the best there is, yet an upper bound where a slice of an argument is used: an argument
counts for no more elements than the launch has.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul

from traceanalyzer.cost.formulas.pointwise import counts
from traceanalyzer.cost.registry import USER_TRITON, Missing, op_cost
from traceanalyzer.cost.tensors import (
    dtype,
    elements_read,
    has,
    itemsize,
    matrix_precision,
    numel,
    shape,
    tensors,
    whole,
)  # fmt: skip
from traceanalyzer.records import Cost, OpCall

_SOURCE = "torch/_inductor/codegen/triton.py: order of arguments; runtime/triton_heuristics.py: launch record"

# Nominal FLOPs an element of the launch, special functions among them, of ops that are not element-wise, as
# their own formulas count them. A product or collective in a fused name is a kernel of its own: 0 here.
_COUNTS = (
    (0, 0, "_to_copy copy clone view _unsafe_view reshape _reshape_alias permute transpose t expand squeeze "
           "unsqueeze select slice split split_with_sizes unbind cat stack flip roll unfold as_strided alias "
           "detach diagonal narrow repeat constant_pad_nd reflection_pad2d replication_pad2d select_backward "
           "slice_backward select_scatter slice_scatter as_strided_scatter unfold_backward lift_fresh "
           "lift_fresh_copy full full_like new_full zeros zeros_like new_zeros ones ones_like new_ones empty "
           "empty_like new_empty fill scalar_tensor arange iota linspace eye tril triu embedding index "
           "index_select _unsafe_index gather scatter index_put _unsafe_index_put masked_select "
           "masked_scatter nonzero one_hot max_unpool2d rand randn rand_like randn_like randint "
           "inductor_random inductor_seeds inductor_lookup_seed bernoulli convert_element_type "
           "view_as_real view_as_complex sym_size mm addmm bmm baddbmm matmul linear _scaled_mm _int_mm "
           "convolution convolution_backward _scaled_dot_product_flash_attention "
           "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention all_reduce "
           "all_gather_into_tensor all_gather_into_tensor_out reduce_scatter_tensor all_to_all_single "
           "wait_tensor"),
    (1, 0, "sum nansum mean amax amin max min prod any all argmax argmin cumsum cumprod native_dropout "
           "count_nonzero embedding_dense_backward index_add scatter_add scatter_reduce nll_loss_forward "
           "nll_loss_backward"),
    (2, 0, "linalg_vector_norm norm _native_batch_norm_legit_no_training"),
    (3, 0, "var std var_mean std_mean mse_loss mse_loss_backward"),
    (3, 1, "logsumexp"),
    (4, 0, "_softmax_backward_data rms_norm _fused_rms_norm"),
    (4, 1, "_softmax _log_softmax _safe_softmax _log_softmax_backward_data"),
    (5, 1, "gelu gelu_backward"),
    (7, 0, "native_layer_norm native_batch_norm _native_batch_norm_legit native_group_norm "
           "_native_batch_norm_legit_functional _batch_norm_with_update cudnn_batch_norm"),
    (11, 0, "_fused_rms_norm_backward"),
    (13, 0, "native_layer_norm_backward native_batch_norm_backward native_group_norm_backward "
            "batch_norm_backward cudnn_batch_norm_backward"),
)  # fmt: skip
_TABLE = {name: (flops, special) for flops, special, names in _COUNTS for name in names.split()}
_LONGEST_NAME = 9  # words
_REDUCTIONS = ("triton_red_", "triton_per_", "triton_spl_", "triton_mix_")


def nominal_flops(name: str) -> tuple[int, int] | None:
    """FLOPs and special functions an element of an operator in a fused kernel's name; None if not known."""
    return _TABLE.get(name) or counts(name)


@op_cost(
    "triton_poi_*",
    "triton_per_*",
    "triton_red_*",
    "triton_for_*",
    "triton_spl_*",
    "triton_mix_*",
    source=_SOURCE,
)
def generated(call: OpCall) -> Cost:
    """A fused kernel from its tensor arguments, (in_out, in, out, sizes)

    FLOPs = nominal operations named in the kernel * elements of the launch
    Bytes = every distinct argument once, each for at most the elements of the launch; the last is taken
    as written, the others as read
    Assumes each op of the name, which is cut off when long, is computed once and in this kernel; an
    argument updated in place counts once.
    """
    inputs = tensors(call)
    if not inputs:
        raise Missing("no_shapes", "the launch records no tensor arguments")
    limit = _launch_elements(call) or max(numel(shape(call, i)) for i in inputs)
    moved = [min(elements_read(call, i), limit) * itemsize(call, i) for i in inputs]
    flops, special = fused_flops(call.name)
    size = min(limit, max(numel(shape(call, i)) for i in inputs))
    written = moved[-1] if inputs[-1] == _last_pointer(call) else 0  # a result of zero dimensions counts 0
    return Cost(flops * size, sum(moved) - written, written, "vector", "fp32",
                special_functions=special * size,
                note="bytes of each argument once; which are written is taken from their order")  # fmt: skip


def _launch_elements(call: OpCall) -> int:
    """Elements of the launch, from the integers that end its arguments; 0 where they do not tell.

    The sizes come last, (z, y,) x or x, r; symbolic dims (ks0, ...) may stand before them. They are as many
    as give exactly the elements of an argument; else the fewest that reach those of the last pointer, which
    for a reduction is a result without its r. Where all of them do not, that pointer is written in part, and
    the launch has at most their product; but a persistent reduction may not list its r.
    """
    if call.name.startswith("triton_for_"):  # one size for each of its loops: their sum, not their product
        return 0
    reduces = call.name.startswith(_REDUCTIONS)
    sizes = _last_integers(call)
    products: list[int] = list(accumulate(sizes, mul))[1:4] if reduces else list(accumulate(sizes, mul))[:3]
    last = _last_pointer(call)
    least = max(numel(shape(call, last)) if has(call, last) else 1, 1)
    given = {numel(shape(call, i)) for i in tensors(call)}
    exact = [p for p in products if p >= least and p in given]
    if exact:
        return max(exact)
    reduced = sizes[0] if reduces and sizes else 1
    fitting = [p for p in products if p >= least * reduced] or [p for p in products if p >= least]
    if fitting:
        return fitting[0]
    return 0 if call.name.startswith("triton_per_") else max(products, default=0)


def _last_integers(call: OpCall) -> list[int]:
    """The integers that end the arguments, the last of them first."""
    integers: list[int] = []
    for i, text in reversed(list(enumerate(call.concrete))):
        size = whole(text)
        if size is None or size < 0 or has(call, i):
            break
        integers.append(size)
    return integers


def _last_pointer(call: OpCall) -> int:
    """The last argument that is a tensor, of zero dimensions or more; its index counts from 0, -1: none."""
    before = len(call.shapes) - len(_last_integers(call))
    return max((i for i in range(before) if call.dtype(i) is not None or has(call, i)), default=-1)


def fused_flops(name: str) -> tuple[int, int]:
    """FLOPs and special functions an element, from the ops in a kernel's name.

    The name is `triton_<kind>_fused_<op>_<op>..._<number>`: ops are found as the longest run of whole words.
    """
    words = name.partition("_fused_")[2].split("_")
    if words[-1].isdecimal():
        words.pop()
    flops = special = at = 0
    while at < len(words):
        taken, count = _operator_at(words, at)
        flops, special, at = flops + count[0], special + count[1], at + taken
    return flops, special


def _operator_at(words: list[str], at: int) -> tuple[int, tuple[int, int]]:
    """Words of the longest known operator that begins here, and its counts; one word of none."""
    for end in range(min(len(words), at + _LONGEST_NAME), at, -1):
        joined = "_".join(words[at:end])
        if joined.endswith("_") and not joined.endswith("__"):  # that `_` begins the next op
            continue
        count = nominal_flops(joined)
        if count is not None:
            return end - at, count
    return 1, (0, 0)


@op_cost("triton_tem_*", source=_SOURCE)
def template(call: OpCall) -> Cost:
    """A matrix product from a Triton template: A[m,k], B[k,n], further inputs, C[m,n] last

    FLOPs = 2*m*k*n, or what the compiler counted where the trace records it
    Bytes = every argument once
    Assumes exactly one pair of matrices whose product has the last argument's shape. Attention whose
    mask is data has no count.
    """
    moved = [elements_read(call, i) * itemsize(call, i) for i in tensors(call)]
    if not moved:
        raise Missing("no_shapes", "the launch records no tensor arguments")
    if "flex_attention" in call.name or "flex_decoding" in call.name:
        raise Missing("data_dependent", "a mask of blocks decides which scores are computed",
                      sum(moved[:-1]), moved[-1])  # fmt: skip
    first = next((i for i in tensors(call) if len(shape(call, i)) >= 2), tensors(call)[0])
    precision = matrix_precision(dtype(call, first))
    flops = call.stated_flops or _product(call)
    return Cost(flops, sum(moved[:-1]), moved[-1], "matrix", precision)


def _product(call: OpCall) -> int:
    """2mkn of the one pair of matrices that gives the last argument."""
    matrices = [i for i in tensors(call) if len(shape(call, i)) >= 2]
    if len(matrices) < 3:
        raise Missing("no_formula", "the arguments of the template do not tell the product")
    out = shape(call, matrices[-1])
    pairs = {
        (i, j) for i in matrices[:-1] for j in matrices[:-1]
        if i < j and shape(call, i)[-1] == shape(call, j)[-2]
        and shape(call, i)[-2] == out[-2] and shape(call, j)[-1] == out[-1]
    }  # fmt: skip
    if len(pairs) != 1:
        raise Missing("no_formula", "the arguments of the template do not tell the product")
    first, _ = pairs.pop()
    return 2 * numel(out) * shape(call, first)[-1]


@op_cost(USER_TRITON, source="torch/_inductor/runtime/triton_heuristics.py: arguments of the launch record")
def user_kernel(call: OpCall) -> Cost:
    """A Triton kernel that the model's author wrote

    FLOPs = what the compiler counted, where the trace records it; else not known
    Bytes = every tensor argument once; which of them are written is not recorded
    Assumes that each argument is touched in full, once.
    """
    moved = sum(elements_read(call, i) * itemsize(call, i) for i in tensors(call))
    if not moved:
        raise Missing("no_shapes", "the launch records no tensor arguments")
    if call.stated_flops is None:
        raise Missing("no_formula", "what a hand-written Triton kernel computes is not recorded", moved, 0)
    return Cost(call.stated_flops, moved, 0, note="which arguments are written is not recorded")
