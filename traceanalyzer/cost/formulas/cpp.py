"""Inductor's fused C++ loops on a CPU, whose buffers our collector records."""

from __future__ import annotations

from traceanalyzer.cost.formulas.triton import fused_flops
from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import itemsize, numel, shape, whole
from traceanalyzer.records import Cost, OpCall


@op_cost("*cpp_fused_*", source="torch/_inductor/dependencies.py: reads and writes of each node of a loop")
def compiled_loop(call: OpCall) -> Cost:
    """A fused C++ loop of a compiled CPU region

    FLOPs = nominal operations named in the kernel * elements of the loops
    Bytes = every distinct buffer read once and written once; of one touched in part, the elements touched
    Assumes each op of the name is computed once for every element of the largest loop. Without the
    collector's record of the buffers nothing is known.
    """
    *marks, elements = call.concrete or ("",)
    size = whole(elements)
    if not marks or size is None or size < 0:
        raise Missing("no_shapes", "only `traceanalyze profile` records the buffers of compiled C++ kernels")
    sizes = [numel(shape(call, i)) * itemsize(call, i) for i in range(len(marks))]
    read = sum(bytes_ for bytes_, mark in zip(sizes, marks, strict=True) if mark == "in")
    flops, special = fused_flops(call.name)
    return Cost(flops * size, read, sum(sizes) - read, "vector", "fp32", special_functions=special * size)
