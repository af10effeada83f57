"""SIGTERM: save first, then die of it as the script would have."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def saving_on_sigterm(save: Callable[[], None]) -> Iterator[None]:
    """While the script has no handler of its own, SIGTERM calls `save` and then ends the process.

    A handler that the script installs replaces ours; one that it asked to be ignored stays so.
    """
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() == owner:
            save()
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if os.getpid() == owner and signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
