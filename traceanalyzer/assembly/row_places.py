"""The functions whose operators make up most of a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import structs

from traceanalyzer.records import OpRow
from traceanalyzer.records.code import CodePlace
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.trace import Ids

_LISTED = 3  # of a row


def with_places(judged: Judged, rows: Sequence[OpRow], site: Ids) -> list[OpRow]:
    """`rows`, those of `judged` in its order, with what launched them, most time first.

    `site`: of each record the row in Trace.call_sites that called it.
    """
    times = judged.times
    if not len(judged.priced.trace.call_sites.sites):
        return list(rows)
    records = np.flatnonzero(times.inside & (site >= 0))
    places = np.stack((times.row[records], site[records]))
    keys, back = np.unique(places, axis=1, return_inverse=True)
    back = back.reshape(-1)
    time = np.zeros(keys.shape[1], np.int64)
    np.add.at(time, back, times.attributed_ns[records])
    ops = np.unique(np.stack((back, judged.priced.trace.kernels.op[records])), axis=1)[0]
    count = np.bincount(ops, minlength=keys.shape[1])
    by_row: dict[int, list[tuple[int, int, int]]] = {}
    columns = (keys[1], count, time)
    for row, *entry in zip(keys[0].tolist(), *(column.tolist() for column in columns), strict=True):
        by_row.setdefault(row, []).append((entry[0], entry[1], entry[2]))
    number = {id(row): at for at, row in enumerate(judged.table)}
    return [
        structs.replace(row, places=_places(judged, row, by_row.get(number[id(functions)], ())))
        for row, functions in zip(rows, judged.rows, strict=True)
    ]


def _places(judged: Judged, row: OpRow, by_row: Sequence[tuple[int, int, int]]) -> tuple[CodePlace, ...]:
    sites = judged.priced.trace.call_sites.sites
    longest = sorted(by_row, key=lambda each: -each[2])[:_LISTED]
    return tuple(
        CodePlace(
            module=row.module, file=sites[at].function.file, line=sites[at].line,
            function=sites[at].function.name, count=count, time_ns=time_ns, line_is=sites[at].line_is,
            library=sites[at].function.library,
        ) for at, count, time_ns in longest
    )  # fmt: skip
