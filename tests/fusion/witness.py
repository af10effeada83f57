"""Who reads what whom wrote, seen from inside: every operator of one step, element by element.

A twin of the execution trace that shares nothing with it: PyTorch's dispatcher hands over the very tensors,
their storages are kept alive so that no address is ever used again, and each byte remembers its last writer.
`python witness.py NAME PATH` trains a model of models.py and writes JSON: the operators' names in their
order, and [producer, consumer] pairs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MARK = "witnessed "  # with a number behind it: the annotation round each operator
ONLY_WRITTEN = {
    "aten::copy_", "aten::fill_", "aten::zero_", "aten::bernoulli_", "aten::normal_", "aten::uniform_",
    "aten::random_", "aten::_foreach_zero_", "aten::_foreach_copy_",
}  # fmt: skip


class Witness(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own, without types
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []
        self.pairs: set[tuple[int, int]] = set()
        self._alive: list[torch.UntypedStorage] = []
        self._writer: dict[int, np.ndarray[Any, np.dtype[np.int32]]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "profiler":  # annotations, which only some steps have
            return func(*args, **kwargs)
        number, name = len(self.names), func._schema.name
        self.names.append(name)
        given, changed = self._given(func._schema, args, kwargs)
        known = {self._known(tensor) for tensor in given}
        sized = name.startswith("aten::new_") or name.endswith("_like")  # asked for its size alone
        for tensor in given:
            if not (sized or name in ONLY_WRITTEN and any(tensor is other for other in changed)):
                self._read(number, tensor)
        with torch.profiler.record_function(f"{MARK}{number}"):
            made = func(*args, **kwargs)
        for tensor in changed:
            self._write(number, tensor)
        for tensor in _tensors(made):
            if self._known(tensor) not in known:
                self._write(number, tensor)
        return made

    def _given(self, schema: Any, args: Any, kwargs: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """What it is given, and what of that it changes."""
        named = [*zip(schema.arguments, args, strict=False)]
        named += [(one, kwargs[one.name]) for one in schema.arguments if one.name in kwargs]
        given, changed = [], []
        for argument, value in named:
            writes = argument.alias_info is not None and argument.alias_info.is_write
            tensors = list(_tensors(value))
            changed += tensors if writes else []
            given += tensors if argument.name != "out" else []
        return given, changed

    def _known(self, tensor: torch.Tensor) -> int:
        """Number of its storage; from now on it is kept."""
        storage = tensor.untyped_storage()
        number: int = storage._cdata
        if number not in self._writer:
            self._alive.append(storage)
            self._writer[number] = np.full(storage.nbytes(), -1, np.int32)
        return number

    def _bytes(self, tensor: torch.Tensor) -> tuple[int, Any]:
        """Its storage, and the first byte of each of its elements."""
        at = np.array(tensor.storage_offset())
        for size, stride in zip(tensor.size(), tensor.stride(), strict=True):
            at = at[..., None] + np.arange(size) * stride
        return self._known(tensor), at.ravel() * tensor.element_size()

    def _read(self, number: int, tensor: torch.Tensor) -> None:
        storage, first = self._bytes(tensor)
        writers = np.unique(self._writer[storage][first]).tolist()
        self.pairs |= {(writer, number) for writer in writers if writer >= 0}

    def _write(self, number: int, tensor: torch.Tensor) -> None:
        storage, first = self._bytes(tensor)
        for byte in range(tensor.element_size()):
            self._writer[storage][first + byte] = number


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    yield from (leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor))


def main(name: str, path: Path) -> None:
    """Every step that is recorded writes down what it saw; the last one's stays."""
    from tests.fusion.models import trained

    step = trained(name)
    for _ in range(12):
        with Witness() as witness:
            step()
        if torch._C._autograd._profiler_enabled():
            path.write_text(json.dumps({"names": witness.names, "pairs": sorted(witness.pairs)}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(sys.argv[1], Path(sys.argv[2]))
