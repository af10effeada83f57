"""Sizes of advanced indexing: profilers leave out its index tensors, but not the views made of them.

`x[i, :, j]` views x in the shape of its result and reshapes each index to go with it, both by operators
of their own (torch/aten/src/ATen/native/TensorAdvancedIndexing.cpp: AdvancedIndex), whose sizes are
recorded. So the result's shape is known, even where a mask decides it. `nonzero` gives its result a
size, once it has counted, by such an operator too (cuda/Nonzero.cu, TensorAdvancedIndexing.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from traceanalyzer.inference.output_shapes import Proof
from traceanalyzer.records import OpCall, Shape
from traceanalyzer.records.trace import Ids, Ops

FROM_VIEW = "the view of its input that it makes"
FROM_SIZE = "the size that it gives its result"
_INDEXING = ("aten::index", "aten::_index_put_impl_")
_VIEW, _RESHAPE = "aten::as_strided", "aten::reshape"
_NONZERO = "aten::nonzero"
_SIZING = ("aten::as_strided_", "aten::set_")  # give a tensor a size, that of an argument or of a tensor

_DIGITS = 19  # more than a size has


def index_proofs(names: Sequence[str], ops: Ops, calls: Sequence[OpCall]) -> dict[int, Proof]:
    """Row in `ops` -> dims of what it reads (or, of an assignment, writes), and of its index tensors."""
    operators = (*_INDEXING, _VIEW, _RESHAPE, _NONZERO, *_SIZING)
    ids = {name: at for at, name in enumerate(names) if name in operators}
    proofs = dict(_counted(ids, ops, calls)) if _NONZERO in ids else {}
    wanted = [ids[name] for name in _INDEXING if name in ids]
    if not wanted or _VIEW not in ids:
        return proofs
    seen: dict[int, list[Shape]] = {}
    for row in _inside(ops, ids[_VIEW], wanted).tolist():
        above = int(ops.parent[row])
        shape = _view_of_input(calls[ops.call[row]], calls[ops.call[above]])
        if shape is not None:
            seen.setdefault(above, []).append(shape)
    indices: dict[int, list[Shape]] = {}
    for row in _inside(ops, ids.get(_RESHAPE, -1), wanted).tolist():
        dims = _flat(calls[ops.call[row]])
        if dims is not None:
            indices.setdefault(int(ops.parent[row]), []).append(dims)
    return proofs | {
        row: Proof(shapes[0], FROM_VIEW, tuple(indices.get(row, ())))
        for row, shapes in seen.items() if len(shapes) == 1
    }  # fmt: skip


def _inside(ops: Ops, name: int, wanted: Sequence[int]) -> Ids:
    """Rows of this name right below one of the names wanted, both with recorded inputs."""
    rows = np.flatnonzero((ops.name == name) & (ops.parent >= 0) & (ops.call >= 0))
    above = ops.parent[rows]
    fits = np.isin(ops.name[above], wanted) & (ops.call[above] >= 0)
    return rows[fits].astype(np.int32)


def _view_of_input(view: OpCall, indexed: OpCall) -> Shape | None:
    """Sizes of the view, if it is one of the indexed tensor, whose dimensions may have changed places."""
    viewed, whole = _flat(view), _flat(indexed)
    if viewed is None or whole is None or sorted(viewed) != sorted(whole):
        return None
    return _sizes(view.value(1))


def _sizes(text: str | None) -> Shape | None:
    """`[2, 3]` -> (2, 3); None where it is no list of sizes."""
    sizes = re.findall(r"\d+", text, re.ASCII) if text and text.startswith("[") else []
    return tuple(map(int, sizes)) if sizes and max(map(len, sizes)) < _DIGITS else None


def _counted(ids: Mapping[str, int], ops: Ops, calls: Sequence[OpCall]) -> Iterator[tuple[int, Proof]]:
    """Each `nonzero` with the last size, [count, dimensions of its input], that it gave a tensor."""
    for name in _SIZING:
        for row in _inside(ops, ids.get(name, -1), [ids[_NONZERO]]).tolist():
            above, sizing = int(ops.parent[row]), calls[ops.call[row]]
            viewed = _flat(calls[ops.call[above]])
            sizes = _flat(sizing, 1) or _sizes(sizing.value(1))
            if sizes is not None and viewed is not None and len(sizes) == 2 and sizes[1] == len(viewed):
                yield above, Proof(sizes, FROM_SIZE)


def _flat(call: OpCall, index: int = 0) -> Shape | None:
    """Dims of an input, where it is one tensor with some."""
    dims = call.dims(index)
    flat = tuple(size for size in dims if isinstance(size, int))
    return flat if flat and len(flat) == len(dims) else None
