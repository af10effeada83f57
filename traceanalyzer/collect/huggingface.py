"""A callback for Hugging Face's Trainer: `Trainer(..., callbacks=[ProfileCallback()])`."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from traceanalyzer.collect.library import profile


class ProfileCallback(TrainerCallback):
    """Captures a few optimizer steps; takes what traceanalyzer.profile takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.profile = profile(*args, **kwargs)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.profile.close()  # of a training that an exception ended: no event reports that
        if state.is_world_process_zero:
            self.profile.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.profile.step()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.profile.__exit__(None, None, None)
