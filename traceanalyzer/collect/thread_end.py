"""What is to be done in a thread when it ends."""

from __future__ import annotations

from collections.abc import Callable


class AtThreadEnd:
    """Kept as a thread's own (threading.local): calls `act` in that thread when it ends."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def __del__(self) -> None:
        self._act()
