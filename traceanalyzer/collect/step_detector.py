"""Step detection: a step ends when one optimizer's `step` returns, else one module's outermost forward.

The first optimizer to return is the anchor; others (a discriminator's, one for each parameter) do not
count. A forward counts only in a script without optimizers, or whose optimizer never steps.
"""

from __future__ import annotations

import weakref
from enum import Enum, auto
from typing import Literal

import msgspec

AnchorKind = Literal["optimizer", "forward"]

SILENT_AFTER = 16  # returns of one other owner without one of the anchor; a GAN's critic steps up to 10 times
PATIENCE = 50  # forwards without a step of the optimizer that exists; micro-batches of a step are fewer


class Tick(Enum):
    """What a return means to the count of steps."""

    NOTHING = auto()
    STEP = auto()  # the step in progress has ended
    RESTART = auto()  # as STEP, but of a new anchor: earlier steps do not count


class StepDetector(msgspec.Struct):
    """Which returns end a step; fed with every outermost return of an optimizer or a module.

    The anchor is held weakly: when it is gone, the next to return takes over.
    """

    optimizer_exists: bool = False
    kind: AnchorKind | None = None  # of the anchor
    _anchor: weakref.ref[object] | None = None
    # other owner -> returns since the anchor's last
    _since: dict[int, int] = msgspec.field(default_factory=dict)
    _waited: int = 0  # forwards while the optimizer was silent

    def optimizer(self, owner: object) -> Tick:
        """`owner`: the optimizer whose `step` has returned."""
        if self.kind == "forward":
            return self._taken_over("optimizer", owner)
        return self._returned("optimizer", owner)

    def forward(self, owner: object) -> Tick:
        """`owner`: the module whose outermost forward has returned."""
        if self.kind == "optimizer":
            return Tick.NOTHING
        if self._anchor is None and self.optimizer_exists:
            self._waited += 1
            if self._waited < PATIENCE:
                return Tick.NOTHING
        return self._returned("forward", owner)

    def _returned(self, kind: AnchorKind, owner: object) -> Tick:
        if self._anchor is None:
            self._taken_over(kind, owner)
            return Tick.STEP
        anchor = self._anchor()
        if anchor is owner:
            self._since.clear()
            return Tick.STEP
        self._since[id(owner)] = self._since.get(id(owner), 0) + 1
        if anchor is not None and self._since[id(owner)] < SILENT_AFTER:
            return Tick.NOTHING
        return self._taken_over(kind, owner)

    def _taken_over(self, kind: AnchorKind, owner: object) -> Tick:
        self.kind, self._anchor = kind, weakref.ref(owner)
        self._since.clear()
        return Tick.RESTART
