"""Inductor's fused C++ loops, which a CPU trace does not show: made visible, with their buffers.

`torch._inductor.config.cpp.enable_kernel_profile` gives each loop a row with its name and nothing else. The
code generator knows more, so its name in the generated code gets what it reads and writes appended:

    graph_0_cpp_fused_gelu_2(fp32[512,1024] -> fp32[512,1024] @524288)

which is where a trace can carry it, whatever caches the code comes from. `trace/reading/cpp_kernels.py`
reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

# The line that torch/_inductor/codegen/cpp.py, KernelGroup.codegen_group, writes into a kernel.
_RECORD = re.compile(r'(RAIIAtenRecordFunctionHandle record_[\w.]+\("[^"()]*)(", nullptr\);)')


def after_import() -> dict[str, Callable[[ModuleType], None]]:
    """What to do once each module has been imported; only for a script that runs on the CPU."""
    return {"torch._inductor.config": _make_visible, "torch._inductor.codegen.cpp": _annotate}


def _make_visible(config: ModuleType) -> None:
    import torch

    if not torch.cuda.is_available() and hasattr(config.cpp, "enable_kernel_profile"):
        config.cpp.enable_kernel_profile = True
        # Every setting is part of the key of Inductor's caches; this one, which only compiled packages use,
        # keeps cached code that has rows but no buffers from being used.
        packaged: Any = getattr(config, "aot_inductor", None)
        if isinstance(getattr(packaged, "metadata", None), dict):
            packaged.metadata = {**packaged.metadata, "traceanalyze": "buffers"}


def _annotate(cpp: ModuleType) -> None:
    """Wrap the code generator; whatever fails in the wrapper leaves the code as it was."""
    original = cpp.KernelGroup.codegen_group

    def codegen_group(group: Any, *args: Any, **kwargs: Any) -> str:
        code: str = original(group, *args, **kwargs)
        try:
            return _RECORD.sub(lambda match: match[1] + annotation(group) + match[2], code, count=1)
        except Exception:  # of another version's internals; the loop is then named and not priced
            return code

    cpp.KernelGroup.codegen_group = codegen_group


def annotation(group: Any) -> str:
    """`(read ... -> written ... @elements)` of a torch._inductor.codegen.cpp.KernelGroup.

    A buffer is read once, and not at all where the loops themselves have written it before; written where
    somebody else needs it. Where less than the whole buffer is touched, its dims are those elements.
    """
    from torch._inductor.virtualized import V

    real = V.graph.scheduler.mutation_real_name
    removed = {name for name, kept in group.args.output_buffers.items() if not isinstance(kept, str)}
    removed |= set(V.graph.removed_buffers)
    read: dict[str, dict[Any, int]] = {}
    written: dict[str, dict[Any, int]] = {}
    elements = 0
    for node in group.scheduled_nodes:
        loops = _product(size for sizes in node.get_ranges() for size in sizes)
        for name, index, count in _touched(node.read_writes.reads, real, loops):
            if name not in written:
                read.setdefault(name, {})[index] = count
        for name, index, count in _touched(node.read_writes.writes, real, loops):
            written.setdefault(name, {})[index] = count
        elements = max(elements, loops)
    reads = [_buffer(name, counts) for name, counts in read.items() if name not in removed]
    writes = [_buffer(name, counts) for name, counts in written.items() if name not in removed]
    return f"({' '.join([*reads, '->', *writes])} @{elements})"


def _touched(dependencies: Any, real: dict[str, str], loops: int) -> Iterator[tuple[str, Any, int]]:
    """Buffer, index and elements of each access; a WeakDep is an order without data.

    An index that is data (an embedding) may reach the whole buffer, but no more often than the loops run.
    """
    for each in sorted(dependencies, key=str):
        name, class_name = real.get(each.name, each.name), type(each).__name__
        if class_name == "MemoryDep":
            yield name, each.index, min(_hint(each.get_numel()), loops)
        elif class_name == "StarDep":  # all of it
            yield name, None, _hint(each.get_numel())


def _buffer(name: str, counts: dict[Any, int]) -> str:
    from torch._inductor.virtualized import V

    buffer = V.graph.try_get_buffer(name)
    sizes = buffer.get_size() if buffer is not None else [V.graph.get_numel(name)]
    dims = [_hint(size) for size in sizes] or [1]
    touched = sum(counts.values())
    if touched < _product(dims):
        dims = [touched]
    dtype = str(V.graph.get_dtype(name)).removeprefix("torch.")
    return f"{dtype}[{','.join(map(str, dims))}]"


def _hint(size: Any) -> int:
    """A size as a number; of a symbolic one the size it was compiled for."""
    from torch._inductor.virtualized import V

    sizes = V.graph.sizevars
    of: Any = getattr(sizes, "guarding_hint_or_throw", None) or getattr(sizes, "size_hint", None)
    return int(of(size))


def _product(sizes: Any) -> int:
    result = 1
    for size in sizes:
        result *= _hint(size)
    return result
