"""numpy without the threads of its linear algebra."""

from __future__ import annotations

import os

_THREADS = "OPENBLAS_NUM_THREADS"


def import_numpy() -> None:
    """To start a thread a core takes half as long again as the rest of its import, and no report multiplies
    matrices. What this process starts later, as a browser, has the environment that it was given."""
    if _THREADS in os.environ:
        return
    os.environ[_THREADS] = "1"
    try:
        import numpy  # noqa: F401 - the variable is read once, here
    finally:
        del os.environ[_THREADS]
