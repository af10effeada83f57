"""What is asked of every distinct call, as columns: so that only the calls that matter are parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np

from traceanalyzer.records.calls import Dims, OpCall
from traceanalyzer.records.trace import Bools


class CallFacts(msgspec.Struct, frozen=True, eq=False):
    """One entry a distinct call."""

    name: Sequence[str]  # of the operator
    dims: Bools  # some input is recorded with dims
    typed: Bools  # some input has a dtype
    lists: Bools  # some input is a list of tensors
    concrete: Bools  # scalars are recorded
    triton: Bools  # a launch of a Triton kernel

    def __len__(self) -> int:
        return len(self.name)

    def named(self, test: Callable[[str], object]) -> Bools:
        """Whether each call's name passes; every distinct name is looked at once."""
        passed = {name: bool(test(name)) for name in set(self.name)}
        return np.fromiter((passed[name] for name in self.name), bool, len(self.name))


@runtime_checkable
class KnowsFacts(Protocol):
    """A sequence of calls that knows these facts without parsing the calls."""

    @property
    def facts(self) -> CallFacts:
        """Of every call, in order."""
        ...


def call_facts(calls: Sequence[OpCall]) -> CallFacts:
    """The facts of each of `calls`, O(calls)."""
    if isinstance(calls, KnowsFacts):
        return calls.facts
    return CallFacts(
        [call.name for call in calls],
        _column(any(dims != () for dims in call.shapes) for call in calls),
        _column(any(call.dtypes) for call in calls),
        _column(any(map(is_list, call.shapes)) for call in calls),
        _column(bool(call.concrete) for call in calls),
        _column(call.triton for call in calls),
    )


def joined(first: CallFacts, second: CallFacts) -> CallFacts:
    """Those of calls that follow one another."""
    flags = [
        np.concatenate((getattr(first, name), getattr(second, name)))
        for name in CallFacts.__struct_fields__[1:]
    ]
    return CallFacts([*first.name, *second.name], *flags)


def is_list(dims: Dims) -> bool:
    """Whether these are the dims of a list of tensors."""
    return bool(dims) and isinstance(dims[0], tuple)


def _column(values: Iterable[bool]) -> Bools:
    return np.array(list(values), np.bool_)
