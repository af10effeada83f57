"""For formulas of your own: accessors of an OpCall, the Cost to return, and Missing with its reasons.

    import traceanalyzer
    from traceanalyzer.formulas import Cost, bytes_read, numel, shape

    @traceanalyzer.op_cost("mylib::fused_thing")
    def fused_thing(call):
        \"\"\"y = f(x), x [rows, columns]

        FLOPs = 5 an element
        Bytes = x read, y written
        Assumes y has x's type.
        \"\"\"
        return Cost(5 * numel(shape(call, 0)), bytes_read(call, 0), bytes_read(call, 0))

Arguments are counted from 0 as in the operator's schema. Each accessor raises Missing, with the reason,
where the trace does not hold what it needs, and so does an index into the dims of a tensor of fewer; the
operator is then unpriced, and the report says why. `return between(least, most, "why")` where data decides
between two Costs.
"""

from traceanalyzer.cost.registry import Missing, between
from traceanalyzer.cost.tensors import (
    argument,
    bytes_of,
    bytes_read,
    dtype,
    flag,
    has,
    integer,
    integers,
    itemsize,
    list_bytes,
    list_bytes_read,
    matrix_precision,
    numel,
    ranked,
    shape,
    shapes_in,
    vector_precision,
)
from traceanalyzer.records import Cost, OpCall

__all__ = [
    "Cost",
    "Missing",
    "OpCall",
    "argument",
    "between",
    "bytes_of",
    "bytes_read",
    "dtype",
    "flag",
    "has",
    "integer",
    "integers",
    "itemsize",
    "list_bytes",
    "list_bytes_read",
    "matrix_precision",
    "numel",
    "ranked",
    "shape",
    "shapes_in",
    "vector_precision",
]
