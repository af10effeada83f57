"""Device rows that are ranges round whole operators: each counts without those inside it.

The profiler before Kineto brackets every operator on the device with two events, whatever it launches, and
exports the time between them (torch/autograd/profiler_util.py, `EventList.export_chrome_trace`). An operator
and those that it calls are then rows of one device that lie inside each other, not work side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traceanalyzer.records.trace import Kernels, Pieces
from traceanalyzer.trace.linking.link import text_rank
from traceanalyzer.trace.linking.own_time import own_times
from traceanalyzer.trace.linking.tree import nest, order


def without_inner(names: Sequence[str], kernels: Kernels, tolerance_ns: int) -> tuple[Kernels, Pieces]:
    """The records with their own time alone, in the order of `Kernels`, and the pieces it consists of."""
    by_file = np.argsort(kernels.file_row)  # of two with the same times the outer one is written first
    rows = by_file[order(kernels.device[by_file], kernels.start_ns[by_file], kernels.end_ns[by_file])]
    start_ns, device, name = kernels.start_ns[rows], kernels.device[rows], kernels.name[rows]
    nesting = nest(device, start_ns, kernels.end_ns[rows], np.zeros(len(rows), bool), tolerance_ns)
    ranges = own_times(start_ns, nesting.end_ns, nesting.parent, device, text_rank(names, name))
    of_range = rows[ranges.interval]
    columns = {each: getattr(kernels, each)[of_range] for each in Kernels.__struct_fields__}
    columns |= {"start_ns": ranges.start_ns, "end_ns": ranges.end_ns, "duration_ns": ranges.duration_ns}
    return Kernels(**columns), ranges.pieces
