"""What the trace does not say of a call but other rows prove: shapes, dtypes in lists, calling lines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import overload

import numpy as np
from msgspec.structs import replace

from traceanalyzer.inference.batches import Batch, batches
from traceanalyzer.inference.call_sites import with_call_sites
from traceanalyzer.inference.index_sizes import index_proofs
from traceanalyzer.inference.list_dtypes import list_dtypes
from traceanalyzer.inference.one_tensor import given_twice
from traceanalyzer.inference.output_shapes import Proof, output_proofs
from traceanalyzer.records import OpCall
from traceanalyzer.records.call_facts import CallFacts, call_facts, joined
from traceanalyzer.records.trace import Trace

# Of one invocation: its output, (dtype, source) of its lists of tensors, whether two inputs are one tensor,
# the requests it works on.
_Proved = tuple[Proof | None, tuple[str, str | None] | None, bool, Batch | None]


class ExtendedCalls(Sequence[OpCall]):
    """The recorded calls, followed by those that something was proved of."""

    def __init__(self, recorded: Sequence[OpCall], proved: Sequence[OpCall]) -> None:
        self._recorded = recorded
        self._proved = proved

    def __len__(self) -> int:
        return len(self._recorded) + len(self._proved)

    @cached_property
    def facts(self) -> CallFacts:
        """Of every call, those that something was proved of behind the recorded ones."""
        return joined(call_facts(self._recorded), call_facts(self._proved))

    @overload
    def __getitem__(self, index: int) -> OpCall: ...
    @overload
    def __getitem__(self, index: slice) -> list[OpCall]: ...
    def __getitem__(self, index: int | slice) -> OpCall | list[OpCall]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if position < len(self._recorded):
            return self._recorded[position]
        return self._proved[position - len(self._recorded)]


def complete(trace: Trace) -> Trace:
    """The trace, each invocation of an op pointing to a call that says what was proved of it.

    Calls alike in everything recorded become two where different outputs or dtypes are proved. A
    recorded call keeps its row.
    """
    trace = with_call_sites(trace)
    names, ops, calls = trace.names, trace.ops, trace.calls
    outputs = output_proofs(ops, calls) | index_proofs(names, ops, calls)
    dtypes = list_dtypes(names, ops, trace.kernels, calls)
    twice, steps = given_twice(names, ops, calls), batches(names, ops, calls)
    proved_of = outputs.keys() | dtypes.keys() | twice | steps.keys()
    if not proved_of:
        return trace
    places: dict[tuple[int, _Proved], int] = {}
    call = ops.call.copy()
    for row in sorted(proved_of):
        key = int(ops.call[row]), (outputs.get(row), dtypes.get(row), row in twice, steps.get(row))
        call[row] = len(calls) + places.setdefault(key, len(places))
    proved = [_with(calls[base], *what) for base, what in places]
    completed = replace(ops, call=call.astype(np.int32))
    return replace(trace, ops=completed, calls=ExtendedCalls(calls, proved))


def _with(
    call: OpCall, proof: Proof | None, items: tuple[str, str | None] | None, twice: bool, batch: Batch | None
) -> OpCall:
    if batch is not None:
        call = replace(call, batch=batch)
    if twice:
        call = replace(call, repeated=(1,))
    if proof is not None:
        call = replace(call, output=proof.shape, output_from=proof.by, indices=proof.indices)
    return replace(call, list_dtype=items[0], list_source=items[1]) if items else call
