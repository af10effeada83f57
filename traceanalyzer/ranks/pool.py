"""Several files at once, each in a worker process of this machine; only their results come back.

A worker that is killed fails its own file, and another takes its index. Whatever ends the pool ends its
workers.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from traceanalyzer.ranks.leading import Leading
from traceanalyzer.ranks.progress import Total
from traceanalyzer.ranks.resources import at_first_sight, cores, jobs_that_fit, largest_first, text_bytes
from traceanalyzer.ranks.results import Results
from traceanalyzer.ranks.worker import COMMAND, HERE, Analyzer, Recipe, Task
from traceanalyzer.records.errors import TraceAnalyzerError
from traceanalyzer.records.file_result import Failure, FileResult

_WORTH_BYTES = 24_000_000  # text that is read in the time that workers take to start and to import
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerLost(TraceAnalyzerError):
    """A worker process ended before it had answered."""


def jobs_for(files: Sequence[str], asked: int | None) -> int:
    """How many workers to start: those asked for, else the cores; no more than memory allows; 1 for none."""
    if len(files) < 2 or "-" in files or not sys.executable:
        return 1
    if asked is None and sum(map(text_bytes, files)) < _WORTH_BYTES:
        return 1
    return jobs_that_fit(files, min(asked or cores(), len(files)))


def in_turn(files: Sequence[str], analyzer: Analyzer, results: Results, total: Total) -> list[FileResult]:
    """One after the other, in this process, those that have no result yet."""
    for number, file in enumerate(files):
        if number not in results.files:
            results.add(number, analyzer(file, results.leading, total.of(file)))
            total.finished(file)
    return results.in_order()


class Answer(msgspec.Struct, frozen=True):
    """What a worker says of one file: bytes read so far, or all that there is to say."""

    index: int
    said: int | FileResult


class NoWorkers(Exception):
    """No worker process can be started here."""


def _process() -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C reaches this process alone, which then ends its workers."""
    return subprocess.Popen(
        [*COMMAND, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=dict.fromkeys(_THREADS, "1") | os.environ, start_new_session=True,
    )  # fmt: skip


def _end(worker: subprocess.Popen[bytes]) -> int:
    """Its exit code; it is gone and waited for."""
    assert worker.stdin is not None and worker.stdout is not None
    worker.kill()  # one that has ended already keeps its code
    code = worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        with suppress(OSError):
            pipe.close()
    return code


@contextmanager
def started_early(paths: Sequence[str], asked: int | None) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that import while this one does, where there will be files for them.

    Whoever uses one takes it off the list; what is left is ended.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        jobs = jobs_for(at_first_sight(paths), asked)
        with suppress(OSError):
            for _ in range(jobs if jobs > 1 else 0):
                processes.append(_process())
        yield processes
    finally:
        for worker in processes:
            _end(worker)


class Pool(msgspec.Struct):
    """Workers that are started when they are needed, each by a thread that talks with it."""

    files: Sequence[str]
    recipe: bytes
    results: Results
    spare: list[subprocess.Popen[bytes]] = msgspec.field(default_factory=list)  # started, and not yet used
    waiting: queue.SimpleQueue[int] = msgspec.field(default_factory=queue.SimpleQueue)
    answers: queue.SimpleQueue[Answer | None] = msgspec.field(default_factory=queue.SimpleQueue)
    workers: set[subprocess.Popen[bytes]] = msgspec.field(default_factory=set)
    changing: threading.Lock = msgspec.field(default_factory=threading.Lock)  # of `workers`
    closed: bool = False

    def __post_init__(self) -> None:
        for index in largest_first(self.files):
            self.waiting.put(index)

    def collect(self, jobs: int, total: Total) -> None:
        """Until there are all results, or none of the threads is left: each says None when it ends."""
        while len(self.results.files) < len(self.files) and jobs:
            answer = self.answers.get()
            if answer is None:
                jobs -= 1
            elif isinstance(answer.said, int):
                total.of(self.files[answer.index])(answer.said)
            else:
                total.finished(self.files[answer.index])
                self.results.add(answer.index, answer.said)

    def serve(self) -> None:
        """A thread's work: files until none waits, with one worker after another if need be."""
        worker: subprocess.Popen[bytes] | None = None
        with suppress(queue.Empty, NoWorkers):
            while True:
                worker = worker or self.started()
                index = self.waiting.get_nowait()
                try:
                    self.ask(worker, index)
                except (OSError, EOFError, pickle.UnpicklingError):
                    lost = _lost(self.files[index], self.ended(worker))
                    worker = None
                    self.answers.put(Answer(index, FileResult((), (lost,))))
        if worker is not None:
            self.ended(worker)
        self.answers.put(None)

    def started(self) -> subprocess.Popen[bytes]:
        """A worker that has said that it is there, and knows what its files have in common."""
        worker = self.process()
        assert worker.stdin is not None and worker.stdout is not None
        try:
            if pickle.load(worker.stdout) == HERE:
                worker.stdin.write(self.recipe)
                worker.stdin.flush()
                return worker
        except (OSError, EOFError, pickle.UnpicklingError):
            pass
        self.ended(worker)
        raise NoWorkers

    def process(self) -> subprocess.Popen[bytes]:
        """A spare one, else another."""
        with self.changing:
            if self.closed:
                raise NoWorkers
            try:
                worker = self.spare.pop() if self.spare else _process()
            except OSError:
                raise NoWorkers from None
            self.workers.add(worker)
            return worker

    def ask(self, worker: subprocess.Popen[bytes], index: int) -> None:
        """Send it a file and pass its answers on until the last."""
        assert worker.stdin is not None and worker.stdout is not None
        pickle.dump(Task(self.files[index], self.results.leading), worker.stdin)
        worker.stdin.flush()
        said: int | FileResult = 0
        while not isinstance(said, FileResult):
            said = pickle.load(worker.stdout)
            self.answers.put(Answer(index, said))

    def ended(self, worker: subprocess.Popen[bytes]) -> int:
        """Its exit code; it is gone and waited for."""
        code = _end(worker)
        with self.changing:
            self.workers.discard(worker)
        return code

    def close(self) -> None:
        """End all that still run; no thread starts another."""
        with self.changing:
            self.closed = True
            for worker in self.workers:
                worker.kill()


def in_workers(
    files: Sequence[str], recipe: Recipe, jobs: int, leading: Leading, total: Total,
    spare: list[subprocess.Popen[bytes]],
) -> list[FileResult]:  # fmt: skip
    """Each file in one of `jobs` processes, `spare` ones first; results in the order of the files."""
    pool = Pool(files, pickle.dumps(recipe, pickle.HIGHEST_PROTOCOL), Results(leading), spare)
    threads = [threading.Thread(target=pool.serve, daemon=True) for _ in range(jobs)]
    try:
        for thread in threads:
            thread.start()
        pool.collect(jobs, total)
    finally:
        pool.close()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    complete = len(pool.results.files) == len(files)  # else no worker could be started for the rest
    return pool.results.in_order() if complete else in_turn(files, recipe(), pool.results, total)


def _lost(path: str, code: int) -> Failure:
    """What became of the worker that read this file, by its exit code."""
    from traceanalyzer.trace import shown_name

    file = shown_name(path)
    return Failure(file, _early_end(file, code))


def _early_end(file: str, code: int) -> TraceAnalyzerError:
    if code < 0:
        name = next((each.name for each in signal.Signals if each == -code), f"signal {-code}")
        return WorkerLost(
            f"{file}: the process that read it was killed ({name}), as happens where memory runs out",
            fix="give --jobs 1, or analyze it where there is more memory",
        )
    return WorkerLost(
        f"{file}: the process that read it ended early (exit code {code})", fix="try --jobs 1, and report it"
    )
