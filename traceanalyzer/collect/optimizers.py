"""Returns of optimizers' `step`, of every class derived from torch.optim.Optimizer."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any


class OptimizerSteps:
    """Optimizer.profile_hook_step, wrapped: torch puts it around a class's `step` when one is created.

    Wrapping it rather than registering a hook lets the annotation `Optimizer.step#` close before the step is
    counted.
    """

    def __init__(self, created: Callable[[], None], returned: Callable[[object], None]) -> None:
        self.over = False  # finished: one Python call per step remains
        self._created = created
        self._returned = returned
        self._depth = threading.local()
        self._original: Any = None

    def install(self) -> None:
        """Before the first optimizer is made; classes whose `step` is wrapped already are wrapped again."""
        from torch.optim import Optimizer

        self._original = Optimizer.profile_hook_step
        Optimizer.profile_hook_step = staticmethod(self._hook)  # type: ignore[assignment,method-assign]
        for optimizer in _derived(Optimizer):
            if getattr(optimizer.__dict__.get("step"), "hooked", False):
                optimizer.step = self._wrapped(optimizer.step)
                self._created()

    def uninstall(self) -> None:
        """Count no more steps, and put back what `torch.optim.Optimizer` had."""
        if self._original is not None:
            from torch.optim import Optimizer

            Optimizer.profile_hook_step = staticmethod(self._original)  # type: ignore[method-assign]
            self._original = None
            for optimizer in _derived(Optimizer):
                step = optimizer.__dict__.get("step")
                if getattr(step, "_traceanalyze", None) is self:
                    optimizer.step = step.__wrapped__
                    optimizer.step.hooked = True  # else torch would wrap it again

    def _hook(self, step: Callable[..., Any]) -> Callable[..., Any]:
        self._created()
        return self._wrapped(self._original(step))

    def _wrapped(self, step: Callable[..., Any]) -> Callable[..., Any]:
        depth = self._depth

        @functools.wraps(step)
        def stepped(*args: Any, **kwargs: Any) -> Any:
            if self.over or getattr(depth, "inside", False):  # a subclass that calls super().step()
                return step(*args, **kwargs)
            depth.inside = True
            try:
                result = step(*args, **kwargs)
            finally:
                depth.inside = False
            self._returned(args[0])
            return result

        stepped._traceanalyze = self  # type: ignore[attr-defined]
        return stepped


def _derived(base: Any) -> list[Any]:
    children: list[Any] = base.__subclasses__()
    return [derived for child in children for derived in (child, *_derived(child))]
