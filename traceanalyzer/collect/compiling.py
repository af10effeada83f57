"""Whether torch.compile works."""

from __future__ import annotations

import sys


class Compiling:
    """Dynamo counts what it does; a count that moved means that it has worked."""

    def __init__(self) -> None:
        self._counted = 0

    def now(self) -> bool:
        """Since it was last asked."""
        utils = sys.modules.get("torch._dynamo.utils")
        counted = 0 if utils is None else sum(sum(each.values()) for each in utils.counters.values())
        moved, self._counted = counted != self._counted, counted
        return moved
