"""One operator call and its cost: the input and output of a cost formula."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
from msgspec.structs import replace

Shape = tuple[int, ...]
Dims = Shape | tuple[Shape, ...]  # one input: a tensor's dims, or those of a list of tensors

Engine = Literal["matrix", "vector"]
CpuFunction = Literal["exp", "tanh", "erf", "log", "division", "normal", "uniform", "bernoulli"]
RANDOM: frozenset[CpuFunction] = frozenset({"normal", "uniform", "bernoulli"})
Reason = Literal[
    "no_device", "no_peak", "no_formula", "no_shapes", "no_dtype", "no_concrete_inputs",
    "data_dependent", "no_launch", "no_correlation", "no_op", "cuda_graph", "compiled_region",
    "formula_failed", "not_recorded",
]  # fmt: skip


class Sequences(msgspec.Struct, frozen=True):
    """Sums over the requests that a serving engine runs at once: q new tokens of k in all, each."""

    requests: int
    queries: int  # sum of q
    keys: int  # of k
    squares: int  # of q * q
    products: int  # of q * k

    @property
    def causal_pairs(self) -> int:
        """Pairs of a new token with all that came before it, and itself."""
        return self.products - (self.squares - self.queries) // 2


class OpCall(msgspec.Struct, frozen=True):
    """One distinct framework operator call, as the profiler recorded it."""

    name: str  # "aten::mm"
    shapes: tuple[Dims, ...] = ()  # () for a scalar or an absent input; nested for a tensor list
    dtypes: tuple[str | None, ...] = ()  # canonical ("bf16"); None where the input is no tensor
    types: tuple[str, ...] = ()  # as recorded ("c10::BFloat16", "Scalar", "TensorList")
    input_strides: tuple[Dims, ...] = ()  # () where the trace has none: contiguous
    concrete: tuple[str, ...] = ()  # scalars and lists as text: "[1, 1]", "True", ""
    list_dtype: str | None = None  # dtype of tensor-list items, from kernel names or neighbors
    list_source: str | None = None  # of a copy between lists of two types: that of what is read
    triton: bool = False  # a launch of a Triton kernel, Inductor's or a user's
    stated_flops: int | None = None  # of a Triton kernel, where its compiler counted them
    output: Shape | None = None  # an output's dims, proved by another op's recorded input
    output_from: str = ""  # what proves `output`: words for a row's note
    indices: tuple[Shape, ...] = ()  # dims of the index tensors of an indexing, proved likewise
    batch: tuple[Sequences, Sequences] | None = None  # prompts, generations: what the step's name says
    repeated: tuple[int, ...] = ()  # inputs that are the tensor of input 0 once more: read once

    def dims(self, i: int) -> Dims:
        """Dims of input `i`, nested for a tensor list; () where it is a scalar, absent or not recorded."""
        return self.shapes[i] if 0 <= i < len(self.shapes) else ()

    def dtype(self, i: int) -> str | None:
        """Canonical dtype of input `i`; None where it is no tensor, absent or not recorded."""
        return self.dtypes[i] if 0 <= i < len(self.dtypes) else None

    def strides(self, i: int) -> Dims:
        """Strides of input `i` in elements; () where it is a scalar, absent or not recorded."""
        return self.input_strides[i] if 0 <= i < len(self.input_strides) else ()

    def value(self, i: int) -> str | None:
        """Input `i` as text, where it is a scalar or a list of scalars; None where it is not recorded."""
        return self.concrete[i] if 0 <= i < len(self.concrete) else None

    def tensors(self) -> Iterator[tuple[int, Dims, str | None, Dims]]:
        """(place, dims, dtype, strides) of every input with dims, whatever the lengths of the other lists."""
        for i, dims in enumerate(self.shapes):
            if dims:
                yield i, dims, self.dtype(i), self.strides(i)


class FunctionCount(msgspec.Struct, frozen=True):
    """How often one invocation evaluates a function on elements of a type."""

    function: CpuFunction
    precision: str
    count: int


class FurtherPass(msgspec.Struct, frozen=True):
    """Bytes that a kernel moves once more, unless they are still in the cache from the time before.

    The reuse distance is what is moved between the two times: `between`, or where each resident thread
    works on data of its own, `per_thread` by as many as are resident.
    """

    kernel: str  # pattern (re.search) of the kernel's name that proves the pass
    bytes: int
    between: int  # bytes
    per_thread: int = 0  # bytes; 0: `between` holds
    why: str = ""  # "its statistics take a pass over X of their own"


class Cost(msgspec.Struct, frozen=True):
    """The cost of one invocation: FLOPs, compulsory bytes. `note`: an assumption that a reader must know."""

    flops: int
    read_bytes: int
    write_bytes: int
    engine: Engine = "vector"
    precision: str = "fp32"  # of the peak it is compared with: "fp32", "bf16", "fp8", ...
    special_functions: int = 0  # exp, erf, sqrt, ... among the FLOPs
    note: str = ""
    further: tuple[FurtherPass, ...] = ()  # beside the compulsory bytes
    recomputed_flops: int = 0  # among `flops`, of what was computed before and not kept: none of the model's

    @property
    def bytes(self) -> int:
        """Read and written."""
        return self.read_bytes + self.write_bytes


class Unpriced(msgspec.Struct, frozen=True):
    """Why a call has no cost; its bytes where only these are known."""

    reason: Reason
    detail: str = ""
    read_bytes: int | None = None
    write_bytes: int | None = None


class Bounded(Unpriced, frozen=True):
    """What one invocation costs at least and at most, where data decides and the dims set limits."""

    least: Cost = Cost(0, 0, 0)
    most: Cost = Cost(0, 0, 0)
    together: bool = False  # one unknown decides both: FLOPs and bytes lie on the line between the ends

    @property
    def corners(self) -> tuple[Cost, ...]:
        """The least, the most, and where FLOPs and bytes vary by themselves each with the other's end."""
        if self.together or self.least.flops == self.most.flops or self.least.bytes == self.most.bytes:
            return self.least, self.most
        few, many = self.least, self.most
        crossed = replace(few, flops=many.flops, special_functions=many.special_functions)
        return few, crossed, replace(many, flops=few.flops, special_functions=few.special_functions), many
