"""Of each operator the function of the user's that calls it, and the line of the call where that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from traceanalyzer.records.frames import Function
from traceanalyzer.records.vocabulary import LineIs

if TYPE_CHECKING:
    from traceanalyzer.records.trace import Ids


class CallSite(msgspec.Struct, frozen=True):
    """A line of a function outside PyTorch and the standard library."""

    function: Function
    line: int | None
    line_is: LineIs


class CallSites(msgspec.Struct, frozen=True, eq=False):
    """Functions as a whole, and lines in them. The first are those of Frames.functions, in their order."""

    sites: Sequence[CallSite]
    whole: Ids  # of each, the row of its function as a whole
    of_op: Ids  # of each row of Trace.ops; -1

    def at(self, op: Ids) -> Ids:
        """Row in `sites` of each operator; -1 stays, and where nothing is known."""
        return np.append(self.of_op, np.int32(-1))[op] if len(self.sites) else np.full(len(op), -1, np.int32)

    def wholes(self, site: Ids) -> Ids:
        """Of each row of `sites` that of its function; -1 stays."""
        return np.append(self.whole, np.int32(-1))[site]


_NONE = np.zeros(0, np.int32)
NO_CALL_SITES = CallSites((), _NONE, _NONE)
