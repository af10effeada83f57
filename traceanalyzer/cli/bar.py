"""A bar by bytes read, over all files of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

_LEAST_BYTES = 5_000_000  # what is read before a person has seen a bar


@contextmanager
def reading(given: Sequence[str]) -> Iterator[Callable[[int], None] | None]:
    """What to call with the bytes read so far; None where no person looks on, or there is little to read."""
    if not sys.stderr.isatty() or os.environ.get("CI"):
        yield None
        return
    from traceanalyzer.ranks.resources import file_bytes
    from traceanalyzer.records.errors import TraceAnalyzerError
    from traceanalyzer.trace import trace_files

    try:
        size = sum(map(file_bytes, trace_files(given)))
    except TraceAnalyzerError:
        size = 0  # whoever reads them says what is wrong
    if size < _LEAST_BYTES:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    with Progress(TextColumn("reading"), BarColumn(), DownloadColumn(),
                  console=Console(stderr=True), transient=True) as bar:  # fmt: skip
        task = bar.add_task("reading", total=size)
        yield lambda read: bar.update(task, completed=read)
