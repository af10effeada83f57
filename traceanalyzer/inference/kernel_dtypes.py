"""The types of inputs that were recorded with dims and without any: from the kernels' names, or as told.

torch 1.8 writes no types. A GEMM's kernel says its own (`sgemm`, `s884`, `bf16`), a template's its argument.
"""

from __future__ import annotations

import re

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.inference.complete import ExtendedCalls
from traceanalyzer.records import Notice, OpCall
from traceanalyzer.records.call_facts import call_facts
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess
from traceanalyzer.records.trace import Bools, OpKind, Trace
from traceanalyzer.records.units import ITEMSIZE, canonical_dtype

# What a kernel's name says of the numbers it reads; one that says several things proves nothing.
_SAID = {
    "fp32": re.compile(r"(?<![a-z])sgemm|(?<![A-Za-z])float(?![A-Za-z\d])|scudnn|(?<![a-z0-9])fp?32(?![0-9])|"
                       r"s1688gemm(?!_fp16|_bf16)", re.IGNORECASE),
    "fp64": re.compile(r"(?<![a-z])dgemm|(?<![A-Za-z])double(?![A-Za-z\d])|d884", re.IGNORECASE),
    "bf16": re.compile(r"bf16|bfloat16|DF16b", re.IGNORECASE),
    "fp16": re.compile(r"(?<![a-z])hgemm|(?<![bn])(?:fp|f)16(?![0-9b])|c104Half|(?<![a-z])half(?![a-z])|"
                       r"hcudnn|h(?:884|1688|16816)", re.IGNORECASE),
}  # fmt: skip
_HALF = ("fp16", "bf16")  # beside which fp32 is what sums are kept in
_LEVELS = 8  # of operators above a kernel's
# Inputs that are indices or masks, whatever the type of the others.
_INDICES = {
    "aten::embedding": (1,), "aten::index_select": (2,), "aten::gather": (2,), "aten::nll_loss": (1,),
    "aten::nll_loss_forward": (1,), "aten::nll_loss_backward": (2,), "aten::embedding_dense_backward": (1,),
    "aten::scatter": (2,), "aten::scatter_": (2,), "aten::scatter_add_": (2,), "aten::index_add_": (2,),
    "aten::index_copy_": (2,), "aten::max_pool2d_with_indices_backward": (7,),
}  # fmt: skip
_INDEX_LISTS = re.compile(r"aten::_?(?:unsafe_)?(?:masked_)?index(?:_put)?(?:_impl)?_?$")
_MASKS = {
    "aten::masked_fill": (1,), "aten::masked_fill_": (1,), "aten::masked_select": (1,), "aten::where": (0,),
    "aten::_masked_scale": (1,), "aten::native_dropout_backward": (1,),
}  # fmt: skip
# Operators whose tensors all have one type, so that a kernel's name says that of each. What casts, compares,
# selects or keeps statistics in another type is none of them.
_ALIKE = re.compile(
    r"aten::(?:mm|addmm|bmm|baddbmm|matmul|linear|addmv|mv|dot|ger|_?convolution\w*|conv[123]d|"
    r"(?:cudnn|miopen|mkldnn|thnn)_conv\w*|add|sub|mul|div|addcmul|addcdiv|lerp|relu|leaky_relu|elu|gelu|silu|tanh|"
    r"sigmoid|exp|log|sqrt|rsqrt|neg|pow|abs|clamp|threshold_backward|(?:gelu|tanh|sigmoid|silu|elu)_backward|"
    r"_?softmax|_?log_softmax|_softmax_backward_data|_log_softmax_backward_data|sum|mean|"
    r"(?:adaptive_)?avg_pool[123]d|upsample_\w+|embedding|embedding_dense_backward)_?$"
)


class _Typed(msgspec.Struct, frozen=True):
    """A call as recorded, and the type that its inputs are taken to have."""

    call: int
    dtype: str


def check_dtype(assumed: str | None) -> None:
    """UsageError for what is no type of a tensor."""
    if assumed is not None and canonical_dtype(assumed) is None:
        names = ", ".join(ITEMSIZE)
        fix = guess(assumed, ITEMSIZE, f"give one of {names}")
        raise UsageError(f"--assume-dtype {assumed}: is no type that is known", fix=fix)


def dtype_said(kernel: str) -> str | None:
    """The one type that a kernel's name says its inputs have."""
    said = [dtype for dtype, words in _SAID.items() if words.search(kernel)]
    if len(said) == 2 and said[0] == "fp32" and said[1] in _HALF:
        return said[1]
    return said[0] if len(said) == 1 else None


def with_dtypes(trace: Trace, assumed: str | None = None) -> Trace:
    """Calls without any recorded type get that of their kernels' names, else `assumed`; so do lists."""
    fallback = canonical_dtype(assumed) if assumed is not None else None
    typed = _by_kernels(trace, fallback)
    return typed if fallback is None else _with_lists(typed, fallback)


def _with_lists(trace: Trace, assumed: str) -> Trace:
    """Lists of tensors of which nothing says the type, those of indices apart, as `assumed`."""
    lacking = call_facts(trace.calls).lists.copy()
    for number in np.flatnonzero(lacking).tolist():
        call = trace.calls[number]
        lacking[number] = call.list_dtype is None and not _INDEX_LISTS.match(call.name)
    rows = np.flatnonzero(np.append(lacking, False)[trace.ops.call])
    if not len(rows):
        return trace
    numbers, back = np.unique(trace.ops.call[rows], return_inverse=True)
    call_of = trace.ops.call.copy()
    call_of[rows] = len(trace.calls) + back
    typed = [replace(trace.calls[number], list_dtype=assumed) for number in numbers.tolist()]
    text = f"operators take lists of tensors without types, which are taken as {assumed} (--assume-dtype)"
    return replace(
        trace, ops=replace(trace.ops, call=call_of), calls=ExtendedCalls(trace.calls, typed),
        warnings=(*trace.warnings, Notice("dtypes_assumed", text, len(rows))),
    )  # fmt: skip


def _by_kernels(trace: Trace, fallback: str | None) -> Trace:
    facts = call_facts(trace.calls)
    lacking = facts.dims & ~facts.typed
    for number in np.flatnonzero(lacking).tolist():
        lacking[number] = _takes_a_tensor(trace.calls[number])
    untyped = np.append(lacking, False)[trace.ops.call]
    if not untyped.any():
        return trace
    said = _said(trace, untyped)
    call = trace.ops.call.copy()
    places: dict[_Typed, int] = {}
    from_names = taken = 0
    for row in np.flatnonzero(untyped).tolist():
        named = said.get(row) if _ALIKE.match(trace.calls[int(call[row])].name) else None
        dtype = named or fallback
        if dtype is None:
            continue
        from_names, taken = from_names + (named is not None), taken + (named is None)
        key = _Typed(int(call[row]), dtype)
        call[row] = len(trace.calls) + places.setdefault(key, len(places))
    typed = [_with(trace.calls[key.call], key.dtype) for key in places]
    return replace(
        trace, ops=replace(trace.ops, call=call.astype(np.int32)), calls=ExtendedCalls(trace.calls, typed),
        warnings=(*trace.warnings, *_notices(from_names, taken, fallback)),
    )  # fmt: skip


def _takes_a_tensor(call: OpCall) -> bool:
    """Not only lists of them, whose types no version records."""
    return any(dims and isinstance(dims[0], int) for dims in call.shapes)


def _said(trace: Trace, untyped: Bools) -> dict[int, str]:
    """Row in the ops -> the type that all kernels below it name; left out where they name several."""
    kernels = trace.kernels
    linked = np.flatnonzero((kernels.op >= 0) & (kernels.unlinked < 0))
    linked = linked[_is_below(untyped, trace)[kernels.op[linked]]]
    parent, is_op = trace.ops.parent.tolist(), (trace.ops.kind == OpKind.OP).tolist()
    pairs = np.unique(np.stack((kernels.op[linked], kernels.name[linked])), axis=1)
    types = {name: None if trace.on_cpu else dtype_said(trace.names[name]) for name in set(pairs[1].tolist())}
    by_row: dict[int, str] = {}
    several: set[int] = set()
    for op, name in pairs.T.tolist():
        dtype = types[name]
        for row in _upwards(op, parent, is_op) if dtype else ():
            if by_row.setdefault(row, dtype or "") != dtype:
                several.add(row)
    return {row: dtype for row, dtype in by_row.items() if row not in several}


def _is_below(rows: Bools, trace: Trace) -> Bools:
    """Of each op, whether it is one of `rows`, or at most so many levels below one."""
    below, parent = rows.copy(), np.append(trace.ops.parent, np.int32(-1))
    ancestor = trace.ops.parent
    for _ in range(_LEVELS - 1):
        below |= np.append(rows, False)[ancestor] & (ancestor >= 0)
        ancestor = parent[ancestor]
    return below


def _upwards(op: int, parent: list[int], is_op: list[bool]) -> list[int]:
    rows: list[int] = []
    while op >= 0 and len(rows) < _LEVELS and is_op[op]:
        rows.append(op)
        op = parent[op]
    return rows


def _with(call: OpCall, dtype: str) -> OpCall:
    """Every input that has dims with this type, but indices and masks."""
    indices, masks = _INDICES.get(call.name, ()), _MASKS.get(call.name, ())
    dtypes = tuple(
        None if not dims else "int64" if position in indices else "bool" if position in masks else dtype
        for position, dims in enumerate(call.shapes)
    )
    return replace(call, dtypes=dtypes)


def _notices(from_names: int, taken: int, assumed: str | None) -> list[Notice]:
    notices = []
    if from_names:
        text = "operators were recorded without types, which their kernels' names say instead"
        notices.append(Notice("dtypes_of_kernels", text, from_names))
    if taken:
        text = f"operators were recorded without types, and are taken as {assumed} (--assume-dtype)"
        notices.append(Notice("dtypes_assumed", text, taken))
    return notices
