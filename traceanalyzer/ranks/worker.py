"""A process of the pool: analyzes the files that it is sent, one after the other.

Started as `python -c "... main()"` and fed through pipes: nothing is forked and the caller's main module is
not imported, so it is safe under threads, in a notebook and in a script without a guard. It ends when its
pipe does, whatever has become of the process that started it.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from traceanalyzer.ranks.leading import Leading
from traceanalyzer.records.file_result import Failure, FileResult

HERE = -1  # the first message: this Python has found this package
_BETWEEN_S = 0.1  # two messages about progress

Analyzer = Callable[[str, Leading, Callable[[int], None] | None], FileResult]
Recipe = Callable[[], Analyzer]  # what a worker is sent: makes what files have in common, once


class Task(msgspec.Struct, frozen=True):
    """One file, and what is known of the others."""

    file: str
    leading: Leading


def main() -> None:
    """Says HERE, then answers each Task: bytes read so far (int), at last a FileResult."""
    tasks, answers = _own_pipes()
    _answer(answers, HERE)
    import traceanalyzer.trace  # noqa: F401 - what takes longest to import, while the first task is made

    recipe: Recipe = pickle.load(tasks)
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks, waiting), daemon=True).start()
    analyzer: Analyzer | None = None
    while True:
        task = waiting.get()
        try:
            analyzer = analyzer or recipe()
            result = analyzer(task.file, task.leading, _told(answers))
        except Exception as error:
            from traceanalyzer.trace import shown_name

            result = FileResult((), (Failure(shown_name(task.file), error),))
        _answer(answers, result)


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output, for these messages alone: what a formula prints goes to standard error."""
    tasks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return tasks, answers


def _listen(tasks: BinaryIO, waiting: queue.SimpleQueue[Task]) -> None:
    """A pipe that ends ends the process, also in the middle of a file that nobody waits for any more."""
    while True:
        try:
            waiting.put(pickle.load(tasks))
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)


def _told(answers: BinaryIO) -> Callable[[int], None]:
    """Progress, not more often than a person sees."""
    last = time.monotonic()

    def tell(read: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _BETWEEN_S:
            last = time.monotonic()
            _answer(answers, read)

    return tell


def _answer(answers: BinaryIO, message: int | FileResult) -> None:
    try:
        answers.write(packed(message))
        answers.flush()
    except BrokenPipeError:
        os._exit(0)


def packed(message: int | FileResult) -> bytes:
    """As bytes; an error that cannot be sent, or not be read back, is told by its text."""
    if isinstance(message, FileResult) and message.failed:
        failed = tuple(Failure(each.label, _sendable(each.error)) for each in message.failed)
        message = replace(message, failed=failed)
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception as why:
        return RuntimeError(f"{type(error).__name__}: {error} (in another process; {why})")
    return error.with_traceback(None)


COMMAND = (
    sys.executable, "-c",
    "import sys; sys.path[:] = sys.argv[1:]; from traceanalyzer.ranks.worker import main; main()",
)  # fmt: skip
