"""Compiled kernels: Inductor's Triton launches list every pointer they get, inputs and outputs.

Their bytes are the best there is, yet an upper bound where a slice of an argument is used: an argument
counts for no more elements than the launch has.
"""

from __future__ import annotations

import re

from traceanalyzer.cost.pointwise import _TABLE
from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import elements_read, itemsize, numel, shape, tensors
from traceanalyzer.model import Cost, OpCall

_SOURCE = "torch/_inductor/codegen/triton.py: order of arguments; runtime/triton_heuristics.py: launch record"
_WORDS = re.compile("|".join(sorted(map(re.escape, _TABLE), key=len, reverse=True)))


@op_cost("triton_poi_*", "triton_per_*", "triton_red_*", "triton_for_*", "triton_spl_*", "triton_mix_*",
         source=_SOURCE)
def generated(call: OpCall) -> Cost:
    """A fused kernel from its tensor arguments, (in_out, in, out, sizes)

    FLOPs = nominal operations named in the kernel * elements of the launch
    Bytes = every distinct argument once, each for at most the elements of the launch; the last is taken
    as written, the others as read
    Assumes the fused ops are those of the name, which is cut off when long; an argument updated in
    place counts once.
    """
    inputs = tensors(call)
    if not inputs:
        raise Missing("no_shapes", "the launch records no tensor arguments")
    limit = _launch_elements(call) or max(numel(shape(call, i)) for i in inputs)
    moved = [min(elements_read(call, i), limit) * itemsize(call, i) for i in inputs]
    flops, special = _fused_flops(call.name)
    size = min(limit, max(numel(shape(call, i)) for i in inputs))
    return Cost(flops * size, sum(moved[:-1]), moved[-1], "vector", "fp32", special_functions=special * size,
                note="bytes of each argument once; which are written is taken from their order")  # fmt: skip


def _launch_elements(call: OpCall) -> int:
    """xnumel * ynumel * rnumel: the integer arguments behind the tensors; 0 where none is recorded."""
    sizes = [int(text) for i, text in enumerate(call.concrete)
             if re.fullmatch(r"\d+", text.strip())
             and not (i < len(call.shapes) and call.shapes[i])]  # fmt: skip
    return numel(tuple(s for s in sizes[:4] if s > 0)) if sizes else 0


def _fused_flops(name: str) -> tuple[int, int]:
    """FLOPs and special functions an element, from the ops in a kernel's name."""
    words = name.removeprefix("triton_").split("_fused_")[-1]
    words = re.sub(r"(?:_?native_|_?unsafe_|to_copy|_to_)", "_", words)
    flops = special = 0
    for word in _WORDS.findall(words):
        flops += _TABLE[word][0]
        special += _TABLE[word][1]
    return flops, special


@op_cost("triton_tem_*", source=_SOURCE)
def template(call: OpCall) -> Cost:
    """A matrix product from a Triton template: A[m,k], B[k,n], further inputs, C[m,n] last

    FLOPs = 2*m*k*n
    Bytes = every argument once
    Assumes exactly one pair of matrices whose product has the last argument's shape.
    """
    from traceanalyzer.cost.tensors import dtype, matrix_precision

    matrices = [i for i in tensors(call) if len(shape(call, i)) >= 2]
    if len(matrices) < 3:
        raise Missing("no_formula", "the arguments of the template do not tell the product")
    out = shape(call, matrices[-1])
    found = {
        (i, j) for i in matrices[:-1] for j in matrices[:-1]
        if i < j and shape(call, i)[-1] == shape(call, j)[-2]
        and shape(call, i)[-2] == out[-2] and shape(call, j)[-1] == out[-1]
    }  # fmt: skip
    if len(found) != 1:
        raise Missing("no_formula", "the arguments of the template do not tell the product")
    first, _ = found.pop()
    moved = [elements_read(call, i) * itemsize(call, i) for i in tensors(call)]
    return Cost(2 * numel(out) * shape(call, first)[-1], sum(moved[:-1]), moved[-1], "matrix",
                matrix_precision(dtype(call, first)))  # fmt: skip


@op_cost("*cpp_fused_*",
         source="torch/_inductor/codegen/cpp.py: record_function of a kernel has no arguments")
def compiled_loop(call: OpCall) -> Cost:
    """A fused C++ loop of a compiled CPU region

    FLOPs = not known
    Bytes = not known: its buffers are not recorded
    Assumes nothing.
    """
    raise Missing("no_shapes", "the buffers of compiled C++ kernels are not recorded")
