"""The states of a capture; each is left at a step's border."""

from __future__ import annotations

from enum import Enum, auto


class CapturePhase(Enum):
    """What the step in progress is to the capture."""

    WAIT = auto()
    WARMUP = auto()
    ACTIVE = auto()
    PAUSE = auto()  # one step without the profiler: see _paused
    FURTHER = auto()  # one step that is recorded otherwise, which slows it down
    AGAIN = auto()  # until a kind of step that came before the capture alone comes again
    AFTER = auto()  # a few steps are timed without the profiler
    DONE = auto()


OVER = (CapturePhase.AGAIN, CapturePhase.AFTER, CapturePhase.DONE)
"""In which no recording is in progress, nor about to begin."""
