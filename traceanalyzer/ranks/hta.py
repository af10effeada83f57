"""HolisticTraceAnalysis (distribution traceinsight, imported as hta) over our own columns.

Its own reader is slower, rounds times to whole microseconds and drops the last step; see docs/hta.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from traceanalyzer.ranks.hta_frame import CATEGORIES, NS_PER_US, frame_of
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.trace import Ids, Trace
from traceanalyzer.trace import load_processes

_SYNC = CATEGORIES[-1]
_LAUNCHING = (("cudaLaunchKernel", "NVIDIA GPU"), ("hipLaunchKernel", "AMD GPU"))


def trace_analysis(files: Sequence[str]) -> Any:
    """An `hta.trace_analysis.TraceAnalysis` of every process in `files`, by rank.

    UsageError where hta is missing or a file cannot be read again; TraceFormatError as for any trace.
    """
    require_hta()
    from hta.trace_analysis import TraceAnalysis

    if "-" in files:
        raise UsageError("standard input cannot be read a second time, which to_hta() does",
                         fix="write the trace to a file and analyze that")  # fmt: skip
    traces = by_rank(trace for file in files for trace in load_processes(file))
    analysis = TraceAnalysis.__new__(TraceAnalysis)
    analysis.t = hta_trace(traces)
    return analysis


def require_hta() -> None:
    """UsageError where the package is missing."""
    try:
        import hta  # noqa: F401 - whether it is there
    except ModuleNotFoundError:
        raise UsageError("HolisticTraceAnalysis is not installed",
                         fix="pip install 'torch-traceanalyzer[hta]'") from None  # fmt: skip


def by_rank(traces: Iterable[Trace]) -> dict[int, Trace]:
    """Rank -> trace; one whose rank is not known, or another's already, gets the next free number."""
    numbered: dict[int, Trace] = {}
    waiting = []
    for trace in traces:
        if trace.rank is None or trace.rank in numbered:
            waiting.append(trace)
        else:
            numbered[trace.rank] = trace
    free = [number for number in range(len(numbered) + len(waiting)) if number not in numbered]
    numbered |= dict(zip(free, waiting, strict=False))
    return dict(sorted(numbered.items()))


def hta_trace(traces: Mapping[int, Trace], threads: Ids | None = None, symbols: Any = None) -> Any:
    """An `hta.common.trace.Trace` that is parsed already; parsing it again does nothing.

    Times begin at 0 with the earliest row of all ranks, by the clock that they share, if they do.
    `threads`: see `frame_of`; `symbols`: a table of names that there is already.
    """
    from hta.common.trace import Trace as HtaTrace

    class ParsedTrace(HtaTrace):  # type: ignore[misc]
        """What `hta.trace_diff` is given: it parses whatever it gets."""

        def parse_traces(self, *_: Any, **__: Any) -> None:
            """It is parsed."""

        def load_traces(self, *_: Any, **__: Any) -> None:
            """It is loaded."""

    parsed = ParsedTrace(trace_files={})
    numbers = _symbols(traces.values())
    parsed.symbol_table.add_symbols(numbers)
    if symbols is not None:
        parsed.symbol_table = symbols
    earliest = _earliest_ns(traces)
    parsed.traces.update({
        rank: frame_of(trace, numbers, earliest[rank], threads) for rank, trace in traces.items()
    })  # fmt: skip
    parsed.meta_data.update({rank: _metadata(trace) for rank, trace in traces.items()})
    parsed.min_ts = min(earliest.values(), default=0) / NS_PER_US
    parsed.is_parsed = True
    return parsed


def _symbols(traces: Iterable[Trace]) -> dict[str, int]:
    """Every name of the traces, and the categories that they use, to its number."""
    numbers: dict[str, int] = {}
    for trace in traces:
        categories = CATEGORIES if len(trace.syncs) else CATEGORIES[:-1]  # HTA asks whether there is the last
        for text in (*categories, *trace.names):
            numbers.setdefault(text, len(numbers))
    return numbers


def _earliest_ns(traces: Mapping[int, Trace]) -> dict[int, int]:
    """What each rank's clock shows when the first row of all of them starts."""
    columns = {rank: [t.ops.start_ns, t.launches.start_ns, t.syncs.start_ns, t.kernels.start_ns]
               for rank, t in traces.items()}  # fmt: skip
    first = {rank: min(int(c.min()) for c in each if len(c)) for rank, each in columns.items()}
    shared = all(trace.base_ns for trace in traces.values())
    base = {rank: trace.base_ns if shared else 0 for rank, trace in traces.items()}
    earliest = min((first[rank] + base[rank] for rank in traces), default=0)
    return {rank: earliest - base[rank] for rank in traces}


def _metadata(trace: Trace) -> dict[str, Any]:
    """What HTA reads of a file's head."""
    names = set(trace.names)
    vendor = next((device for name, device in _LAUNCHING if name in names), "UNKNOWN GPU")
    return {"device_type": vendor, "baseTimeNanoseconds": trace.base_ns,
            "distributedInfo": {"rank": trace.rank}}  # fmt: skip
