"""Where in the code the operators are that a suggestion is about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traceanalyzer.fusion.step_graph import Node
from traceanalyzer.records.code import CodePlace
from traceanalyzer.records.code_places import module_named, modules_of_ops
from traceanalyzer.records.trace import Trace

_LISTED = 20


def code_places(trace: Trace, nodes: Sequence[Node], repeats: float = 1.0) -> tuple[CodePlace, ...]:
    """Modules and functions of the operators, most time first; () where the trace shows neither.

    `repeats`: how often the step that they are of is in what the suggestion is about.
    """
    rows = np.array([node.row for node in nodes], np.int64)
    module = modules_of_ops(trace, rows)
    site = trace.call_sites.at(rows.astype(np.int32))
    time_of: dict[tuple[int, int], list[int]] = {}
    for key, node in zip(zip(module.tolist(), site.tolist(), strict=True), nodes, strict=True):
        count_and_time = time_of.setdefault(key, [0, 0])
        count_and_time[0] += 1
        count_and_time[1] += node.time_ns
    time_of.pop((-1, -1), None)
    ordered = sorted(time_of.items(), key=lambda item: -item[1][1])[:_LISTED]
    return tuple(
        _place(trace, *key, round(count * repeats), round(ns * repeats)) for key, (count, ns) in ordered
    )


def _place(trace: Trace, module: int, site: int, count: int, time_ns: int) -> CodePlace:
    where = trace.call_sites.sites[site] if site >= 0 else None
    return CodePlace(
        module=module_named(trace, module), file=where.function.file if where else None,
        line=where.line if where else None, function=where.function.name if where else None, count=count,
        time_ns=time_ns, line_is=where.line_is if where else None,
        library=where.function.library if where else None,
    )  # fmt: skip
