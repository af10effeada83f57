"""A callback for Lightning: `Trainer(..., callbacks=[ProfileCallback()])`."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback

from traceanalyzer.collect.library import profile


class ProfileCallback(Callback):
    """Captures a few optimizer steps; takes what traceanalyzer.profile takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.profile = profile(*args, **kwargs)
        self._step = 0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if trainer.is_global_zero:
            self.profile.__enter__()
            self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        if trainer.is_global_zero and trainer.global_step != self._step:  # else gradients are accumulated
            self._step = trainer.global_step
            self.profile.step()

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self.profile.__exit__(None, None, None)

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        self.profile.__exit__(type(exception), exception, None)
