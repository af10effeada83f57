"""Signals that end a run. SIGTERM: save the trace first, then end as the script would have. SIGINT: seen."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_MANY = 1 << 16


class SeenInterrupt:
    """Whether Ctrl-C was pressed since it was entered, whatever the script made of it.

    Python writes the number of each signal into a pipe (signal.set_wakeup_fd), so that no handler of the
    script's is replaced. An event loop with handlers of its own takes the pipe over: then nothing is seen.
    """

    def __init__(self) -> None:
        self._pipe: tuple[int, int] | None = None
        self._before = -1

    def __enter__(self) -> SeenInterrupt:
        read, write = os.pipe()
        try:
            for end in (read, write):
                os.set_blocking(end, False)
            self._before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
            self._pipe = read, write
        except (ValueError, OSError, AttributeError):  # not in the main thread; Windows takes sockets only
            os.close(read)
            os.close(write)
        return self

    def __bool__(self) -> bool:
        if self._pipe is None:
            return False
        try:
            return signal.SIGINT in os.read(self._pipe[0], _MANY)
        except OSError:  # nothing in it
            return False

    def __exit__(
        self, raised: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pipe is None:
            return
        current = signal.set_wakeup_fd(self._before)
        if current != self._pipe[1]:  # somebody else's by now
            signal.set_wakeup_fd(current)
        for end in self._pipe:
            os.close(end)
        self._pipe = None


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
