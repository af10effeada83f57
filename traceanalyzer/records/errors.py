"""Every error that a user can cause; each says where and how to fix it.

* TraceAnalyzerError        caught once, in cli; exit code 2
  - TraceFormatError        the file is not a PyTorch profiler trace, or damaged beyond salvage
  - DeviceError             a device option names no known device, or a device file is wrong
  - UsageError              options that contradict each other or the input
"""

from __future__ import annotations

from collections.abc import Callable


class TraceAnalyzerError(Exception):
    """One line: which file, what, where, and what to do about it."""

    exit_code = 2

    def __init__(self, what: str, *, fix: str) -> None:
        super().__init__(f"{what}. Fix: {fix}")
        self.what = what
        self.fix = fix

    def __reduce__(self) -> tuple[Callable[..., TraceAnalyzerError], tuple[object, ...]]:
        """Passed between processes as it was made: `fix` is given by its name."""
        return _raised, (type(self), self.what, self.fix)


def _raised(error: type[TraceAnalyzerError], what: str, fix: str) -> TraceAnalyzerError:
    return error(what, fix=fix)


class TraceFormatError(TraceAnalyzerError):
    """The input is not a trace that can be read; `what` is "FILE: what (where)"."""


class DeviceError(TraceAnalyzerError):
    """`--device`, `--device-file`, `--peak` or `--bandwidth` cannot be used as given."""


class UsageError(TraceAnalyzerError):
    """The request cannot be met: unknown step range, rank, GPU index, output format."""
