"""What a process need not do that reads traces, writes files and ends."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = "OPENBLAS_NUM_THREADS"
_SELDOM = 1_000_000  # objects that are made between two looks for cycles, of which there are next to none


@contextmanager
def lean() -> Iterator[None]:
    """Without threads for linear algebra, and with a collector that seldom looks, last of all at the end.

    Each takes a tenth or more of what it takes to start, to import and to end.
    """
    before = gc.get_threshold()
    gc.set_threshold(_SELDOM)
    atexit.register(gc.freeze)
    try:
        _import_numpy()
        yield
    finally:
        gc.set_threshold(*before)


def _import_numpy() -> None:
    """With a thread a core it takes half as long again to import, and no report multiplies matrices.

    What this process starts later, as a browser, has the environment that it was given.
    """
    if _THREADS in os.environ:
        return
    os.environ[_THREADS] = "1"
    try:
        import numpy  # noqa: F401 - the variable is read once, here
    finally:
        del os.environ[_THREADS]
