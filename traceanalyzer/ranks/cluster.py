"""Several files, each analyzed where a worker of a Dask cluster is; only their results come back.

A task is sent, and its result comes back, as bytes that only a worker and this process open: the scheduler
needs no traceanalyzer. Files of a worker that is lost are analyzed by others.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from traceanalyzer.ranks.leading import Leading
from traceanalyzer.ranks.progress import Total
from traceanalyzer.ranks.resources import largest_first
from traceanalyzer.ranks.results import Results
from traceanalyzer.ranks.worker import Recipe, packed
from traceanalyzer.records.errors import TraceAnalyzerError, UsageError
from traceanalyzer.records.file_result import Failure, FileResult
from traceanalyzer.trace import shown_name

if TYPE_CHECKING:
    from distributed import Client as Client
    from distributed import Future

_SAID = 120  # characters of what a connection failed with
_CONNECT_S = 5  # an address at which nothing answers
_LOOK_S = 1  # between two looks whether more workers have come


class ClusterError(TraceAnalyzerError):
    """A worker of the cluster cannot analyze a file, or none was left to."""


class Parcel(msgspec.Struct, frozen=True):
    """One file's task. Unpickling it, which a worker does, is what runs it."""

    recipe: Recipe
    file: str
    leading: Leading
    version: str

    def __reduce__(self) -> tuple[Any, ...]:
        return _run, (self.recipe, self.file, self.leading, self.version)


def on_cluster(
    files: Sequence[str], recipe: Recipe, leading: Leading, total: Total, cluster: Client | str
) -> list[FileResult]:
    """The results in the order of the files; UsageError where the scheduler cannot be reached."""
    results = Results(leading)
    with _connected(cluster) as client:
        tasks = Tasks(client, files, recipe, largest_first(files))
        try:
            tasks.collect(results, total)
        finally:
            with suppress(Exception):
                client.cancel(list(tasks.sent))
    return results.in_order()


class Tasks(msgspec.Struct):
    """Files on their way to the workers: a few at a time, so that later ones are sent with who leads by then.

    Twice as many as there are threads: each has its next file at hand, and a cluster that adapts to what it
    is given grows. Workers that come later are given files without waiting for a result.
    """

    client: Client
    files: Sequence[str]
    recipe: Recipe
    waiting: list[int]
    sent: dict[Future[bytes], int] = msgspec.field(default_factory=dict)
    news: threading.Event = msgspec.field(default_factory=threading.Event)  # one of them is done
    gone: Exception | None = None  # how it was noticed that there is no cluster any more

    def collect(self, results: Results, total: Total) -> None:
        """Each result as it comes; those that are sent after it know who leads."""
        self.send(results.leading)
        while self.sent:
            self.news.wait(_LOOK_S)
            self.news.clear()
            for future in [each for each in self.sent if each.done()]:
                index = self.sent.pop(future)
                results.add(index, _result(future, self.files[index]))
                future.release()  # its worker keeps it no longer
                total.finished(self.files[index])
            self.send(results.leading)
        for index in self.waiting:
            name = shown_name(self.files[index])
            results.add(index, FileResult((), (Failure(name, _closed(name, self.gone)),)))
            total.finished(self.files[index])

    def send(self, leading: Leading) -> None:
        """As many as there is room for; what can be sent no more since the cluster is gone stays waiting."""
        version, room = _version(), self._room() if self.waiting else 0
        for index in self.waiting[:room]:
            parcel = pickle.dumps(Parcel(self.recipe, self.files[index], leading, version))
            try:
                key = f"traceanalyze-{uuid4().hex}"
                future = self.client.submit(pickle.loads, parcel, key=key, pure=False, retries=2)
            except Exception as error:  # whichever it is of many; what was sent says that it is cancelled
                self.gone = error
                return
            self.waiting.remove(index)
            self.sent[future] = index
            future.add_done_callback(lambda _: self.news.set())

    def _room(self) -> int:
        try:
            threads = sum(map(int, self.client.nthreads().values()))
        except Exception as error:
            self.gone = error
            return 0
        return max(0, 2 * max(1, threads) - len(self.sent))


@contextmanager
def _connected(cluster: Client | str) -> Iterator[Client]:
    """The client as given, or one for the address that is closed afterwards."""
    if not isinstance(cluster, str):
        yield cluster
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            f"{cluster}: a cluster needs Dask", fix="pip install 'torch-traceanalyzer[cluster]'"
        ) from error
    # Asked before there is a client: one that finds no scheduler leaves tasks behind that complain later.
    with ThreadPoolExecutor(1) as thread:  # a notebook's own loop goes on
        why = thread.submit(asyncio.run, _missing(cluster)).result()
    if why is not None:
        said = " ".join(why.split())[:_SAID]
        raise UsageError(
            f"{cluster}: no Dask scheduler answers there" + (f" ({said})" if said else ""),
            fix="give the address that `dask scheduler` printed, such as tcp://host:8786",
        )
    with Client(cluster, set_as_default=False) as client:
        yield client


async def _missing(address: str) -> str | None:
    """Why no scheduler has answered at the address in time; None if one has."""
    from distributed.core import rpc
    from distributed.security import Security

    try:
        connection = Security().get_connection_args("client")
        async with rpc(address, timeout=_CONNECT_S, connection_args=connection) as remote:
            identity = await asyncio.wait_for(remote.identity(), _CONNECT_S)
    except Exception as error:  # whatever it is that answers instead
        return str(error)
    return None if identity.get("type") == "Scheduler" else "something else answers"


def _result(future: Future[bytes], file: str) -> FileResult:
    try:
        result = pickle.loads(future.result())
        assert isinstance(result, FileResult)
        return result
    except Exception as error:
        name = shown_name(file)
        return FileResult((), (Failure(name, _explained(error, name)),))


def _explained(error: Exception, file: str) -> Exception:
    """In one line with the fix, what of the cluster and not of the file is wrong."""
    from distributed import CancelledError, KilledWorker

    if isinstance(error, ModuleNotFoundError):
        return ClusterError(
            f"{file}: a worker of the cluster lacks the package {error.name}",
            fix=f"pip install 'torch-traceanalyzer[cluster]=={_version()}' on each worker",
        )
    if isinstance(error, KilledWorker):
        return ClusterError(
            f"{file}: the workers that read it were lost one after another, as where memory runs out",
            fix="give the workers more memory or fewer threads",
        )
    if isinstance(error, CancelledError):
        return _closed(file, error)
    return error


def _closed(file: str, error: Exception | None) -> ClusterError:
    why = type(error).__name__
    return ClusterError(f"{file}: the cluster was closed before it was read ({why})", fix="start it again")


def _run(recipe: Recipe, file: str, leading: Leading, version: str) -> bytes:
    """On a worker: what `packed` makes of the file's result."""
    name = shown_name(file)
    if version != _version():
        raise ClusterError(
            f"{name}: a worker of the cluster has traceanalyze {_version()}, this is {version}",
            fix=f"pip install torch-traceanalyzer=={version} on each worker",
        )
    if "://" not in file and not any(map(os.path.exists, (file, file.rpartition(":")[0]))):  # or an archive
        raise ClusterError(
            f"{name}: is not there on the worker {socket.gethostname()}",
            fix="keep the traces in a folder that all workers see, and give its whole path",
        )
    return packed(recipe()(file, leading, None))


def _version() -> str:
    from importlib.metadata import version

    return version("torch-traceanalyzer")
