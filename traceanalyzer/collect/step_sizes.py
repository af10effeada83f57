"""How large the inputs of a step's forward passes are: that tells prefill from decode when it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

_APART = 2  # times as many elements: steps of two kinds


class StepSizes(msgspec.Struct, frozen=True):
    """Of the outermost forward passes between two borders of steps."""

    forwards: int  # how many
    elements: Mapping[str, int]  # of each tensor that the first was called with, by its name or number

    def alike(self, other: StepSizes) -> bool:
        """As many passes, whose tensors have no more than twice as many elements in either."""
        same = self.forwards == other.forwards and self.elements.keys() == other.elements.keys()
        return same and not self._exceeds(other) and not other._exceeds(self)

    def larger(self, other: StepSizes) -> bool:
        """At least one tensor has twice as many elements, and none half as many."""
        return self._exceeds(other) and not other._exceeds(self)

    def _exceeds(self, other: StepSizes) -> bool:
        common = self.elements.keys() & other.elements.keys()
        return any(self.elements[name] >= _APART * other.elements[name] for name in common)

    def times(self, other: StepSizes) -> float:
        """How many times as many elements the tensor has that differs most."""
        common = self.elements.keys() & other.elements.keys()
        return max((self.elements[name] / max(1, other.elements[name]) for name in common), default=1.0)


class SizesOfStep:
    """What the step in progress has been called with so far."""

    def __init__(self) -> None:
        self._forwards = 0
        self._elements: Mapping[str, int] = {}

    def called(self, arguments: Iterable[Any], named: Mapping[str, Any]) -> StepSizes:
        """An outermost module is called with these."""
        self._forwards += 1
        if self._forwards == 1:
            pairs = [*((str(at), value) for at, value in enumerate(arguments)), *named.items()]
            counts = {name: _elements_of(value) for name, value in pairs}
            self._elements = {name: count for name, count in counts.items() if count is not None}
        return StepSizes(self._forwards, self._elements)

    def ended(self) -> StepSizes:
        """The step is over, and the next begins."""
        sizes = StepSizes(self._forwards, self._elements)
        self._forwards, self._elements = 0, {}
        return sizes


def _elements_of(value: Any) -> int | None:
    """None of what is no plain tensor, and while the model is traced: the question would be recorded."""
    import torch

    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return None
    if torch._C._get_tracing_state() is not None:
        return None
    count = value.numel()
    return count if type(count) is int else None


class MissedStep:
    """A step before the capture that is larger than all captured ones, and may come again."""

    def __init__(self) -> None:
        self._earlier: list[StepSizes] = []
        self.sizes: StepSizes | None = None
        self.times = 1.0  # as large as those captured

    def before(self, sizes: StepSizes) -> None:
        """A step that is not captured; of many alike the first is kept."""
        if sizes.elements and not any(sizes.alike(each) for each in self._earlier):
            self._earlier.append(sizes)

    def captured(self, steps: Iterable[StepSizes]) -> None:
        """Which of the earlier ones these leave out, if any: the largest."""
        there = list(steps)
        left_out = [each for each in self._earlier if there and all(map(each.larger, there))]
        self.sizes = max(left_out, key=lambda each: sum(each.elements.values()), default=None)
        self.times = min((self.sizes.times(step) for step in there), default=1.0) if self.sizes else 1.0

    def text(self) -> str | None:
        """That it did not come again, where it is one."""
        if self.sizes is None:
            return None
        much = f"{self.times:.0f} times as much, as a prefill does: it is not in the trace"
        return (
            f"a step before the captured ones worked on {much}. Fix: let the script do so twice (generate() "
            "twice), without --stop"
        )

    def returns(self, sizes: StepSizes) -> bool:
        """Whether a step that begins so is such a one."""
        return self.sizes is not None and sizes.alike(self.sizes)
