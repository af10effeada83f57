"""How far programs of one device differ: `python benchmarks/what_if_spread.py TRACE...` (or saved reports).

For each trace and kind of work, how long what roofs limit would take at the efficiency that is usual there,
over how long it takes. A projection carries this ratio to the other device, so that its spread over programs
is what a projection would be off by if nothing of it carried: the bands of docs/what-if.md lie inside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import traceanalyzer
from traceanalyzer.assembly.what_if_rows import work_of
from traceanalyzer.device.typical import Kind, usual
from traceanalyzer.records import Analysis, OpRow

LEAST = 0.02  # of busy time: less of a kind of work is not counted


def at_usual_ns(row: OpRow, analysis: Analysis) -> float | None:
    """The row's time at the efficiency usual for its kind and size; None where no roof limits it."""
    if row.verdict not in ("compute_bound", "memory_bound") or not row.roof_ns or not row.efficiency:
        return None
    reached = usual(work_of(row), analysis.device, row.roof_ns / row.calls)
    return row.attributed_ns * row.efficiency / reached if reached else None


def ratio(analysis: Analysis, work: Kind) -> float | None:
    rows = [row for row in analysis.op_rows if work_of(row) == work]
    times = [(usual_ns, row.attributed_ns) for row in rows if (usual_ns := at_usual_ns(row, analysis))]
    total = sum(time for _, time in times)
    return sum(time for time, _ in times) / total if total > LEAST * analysis.time.busy_ns else None


def lines(traces: list[Path]) -> Iterator[str]:
    works = get_args(Kind)
    yield f"| trace | device | {' | '.join(works)} |"
    yield f"|---|---|{'---:|' * len(works)}"
    for trace in traces:
        analysis = traceanalyzer.analyze(trace)
        ratios = [ratio(analysis, work) for work in works]
        cells = " | ".join("" if each is None else f"{each:.2f}" for each in ratios)
        yield f"| {trace.name.split('.')[0]} | {analysis.device.name} | {cells} |"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("trace", nargs="+", type=Path)
    print("\n".join(lines(options.parse_args().trace)))


if __name__ == "__main__":
    main()
