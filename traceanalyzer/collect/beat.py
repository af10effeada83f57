"""What ends a step: the return of one optimizer's `step`, else of one module's outermost forward.

The first optimizer to return is the anchor; others (a discriminator's, one for each parameter) do not
count. A forward counts only in a script without optimizers, or whose optimizer never steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

Kind = Literal["optimizer", "forward"]

SILENT_AFTER = 16  # returns of one other owner without one of the anchor; a GAN's critic steps up to 10 times
PATIENCE = 50      # forwards without a step of the optimizer that exists; micro-batches of a step are fewer


class Tick(Enum):
    """What a return means to the count of steps."""

    NOTHING = auto()
    STEP = auto()       # the step in progress has ended
    RESTART = auto()    # as STEP, but of a new anchor: what was counted before does not count


@dataclass(slots=True)
class Beat:
    """Which returns end a step; fed with every outermost return of an optimizer or a module."""

    optimizer_exists: bool = False
    anchor: tuple[Kind, int] | None = None
    _since: dict[int, int] = field(default_factory=dict)  # other owner -> returns since the anchor's last
    _waited: int = 0                                      # forwards while the optimizer was silent

    @property
    def kind(self) -> Kind | None:
        return self.anchor[0] if self.anchor else None

    def optimizer(self, owner: int) -> Tick:
        """`owner`: the identity of the optimizer whose `step` has returned."""
        if self.kind == "forward":
            self._anchor("optimizer", owner)
            return Tick.RESTART
        return self._returned("optimizer", owner)

    def forward(self, owner: int) -> Tick:
        """`owner`: the identity of the module whose outermost forward has returned."""
        if self.kind == "optimizer":
            return Tick.NOTHING
        if self.anchor is None and self.optimizer_exists:
            self._waited += 1
            if self._waited < PATIENCE:
                return Tick.NOTHING
        return self._returned("forward", owner)

    def _returned(self, kind: Kind, owner: int) -> Tick:
        if self.anchor is None:
            self._anchor(kind, owner)
            return Tick.STEP
        if self.anchor[1] == owner:
            self._since.clear()
            return Tick.STEP
        self._since[owner] = self._since.get(owner, 0) + 1
        if self._since[owner] < SILENT_AFTER:
            return Tick.NOTHING
        self._anchor(kind, owner)
        return Tick.RESTART

    def _anchor(self, kind: Kind, owner: int) -> None:
        self.anchor = (kind, owner)
        self._since.clear()
