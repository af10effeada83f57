"""Filter the profiler's own log lines out of the script's stderr, and nothing else."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# libkineto's SyncActivityProfilerHandler, torch's execution_trace_observer.cpp and CPUAllocator.cpp write
# these lines in any run.
_NOISE = (
    b"USDT:", b"STAGE:", b"Execution Trace Observer", b"Memory block of unknown size",
    b"External init callback must run in same thread",
)  # fmt: skip


@contextmanager
def stderr_filtered() -> Iterator[None]:
    """Hold back what C++ code writes to stderr meanwhile; write all but the known log lines afterwards."""
    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no stderr, or none with a descriptor
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            held.seek(0)
            kept = b"".join(line for line in held if not any(noise in line for noise in _NOISE))
            if kept:
                os.write(real, kept)
            os.close(real)
