"""The kernel records of an Analysis as columns: what its DataFrame `kernels` is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from traceanalyzer.records.analysis import OpRow

    Column = npt.NDArray[np.integer[Any]]


class KernelTable(msgspec.Struct, frozen=True, eq=False):
    """Columns of the kernel records inside the window, in their order.

    `row` is an index of `rows`, which are the report's.
    """

    names: Sequence[str]
    rows: Sequence[OpRow]
    name: Column
    row: Column
    start_ns: Column
    time_ns: Column
    attributed_ns: Column
    stream: Column
    correlation: Column
    blocks: Column

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KernelTable) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def _values(self) -> list[list[Any]]:
        return [list(column) for column in self.columns().values()]

    def columns(self) -> dict[str, Any]:
        """Those of the DataFrame, by their names."""
        rows = [self.rows[row] for row in self.row.tolist()]
        return {
            "name": [self.names[i] for i in self.name.tolist()],
            "start_ns": self.start_ns,
            "time_ns": self.time_ns,
            "attributed_ns": self.attributed_ns,
            "stream": self.stream,
            "correlation": self.correlation,
            "blocks": self.blocks,
            "op": [row.name for row in rows],
            "phase": [row.phase for row in rows],
            "verdict": [row.verdict for row in rows],
            "operator_class": [row.operator_class for row in rows],
        }
