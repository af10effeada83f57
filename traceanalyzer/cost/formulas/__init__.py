"""Cost formulas, one file a family of operators; importing this package registers all of them.

A formula is one function with one decorator in its family's file; a family's file stands in this list.
"""

# ruff: noqa: F401

from traceanalyzer.cost.formulas import (  # noqa: F401 - importing a family registers its formulas
    attention,
    bitsandbytes,
    convolution,
    cpp,
    foreign,
    grouped,
    indexing,
    jagged,
    linalg,
    lists,
    matmul,
    moves,
    norms,
    packed,
    pointwise,
    pooling,
    quantized,
    recurrent,
    reductions,
    resample,
    serving,
    sparse,
    state_space,
    state_space_scan,
    triton,
)
