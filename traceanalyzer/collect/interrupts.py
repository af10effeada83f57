"""SIGTERM: save the trace first, then end as the script would have."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def saving_on_sigterm(save: Callable[[], None]) -> Iterator[None]:
    """While the script has no handler of its own, SIGTERM calls `save` and then ends the process.

    A handler that the script installs replaces it; SIGTERM stays ignored where the script ignores it. The
    script does not see this handler: Lightning, for one, would call it before its own had saved anything.
    """
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    owner = os.getpid()
    install, look_up = signal.signal, signal.getsignal

    def handle(number: int, frame: FrameType | None) -> None:
        install(number, signal.SIG_DFL)
        if os.getpid() == owner:
            save()
        os.kill(os.getpid(), number)

    @functools.wraps(install)
    def signal_(signalnum: int, handler: Any) -> Any:
        default = handler is signal.SIG_DFL and signalnum == signal.SIGTERM
        return _shown(install(signalnum, handle if default else handler))

    @functools.wraps(look_up)
    def getsignal(signalnum: int) -> Any:
        return _shown(look_up(signalnum))

    def _shown(handler: Any) -> Any:
        return signal.SIG_DFL if handler is handle else handler

    install(signal.SIGTERM, handle)
    signal.signal, signal.getsignal = signal_, getsignal
    try:
        yield
    finally:
        if signal.signal is signal_:
            signal.signal = install
        if signal.getsignal is getsignal:
            signal.getsignal = look_up
        if os.getpid() == owner and look_up(signal.SIGTERM) is handle:
            install(signal.SIGTERM, signal.SIG_DFL)
