"""`--stop`: the run ends once all is captured, by SystemExit out of the call that ended the step.

So `with` and `finally` of the script run. Several ranks end after the same step: rank 0 says in the job's own
store after which, one step ahead, and the others look there at each of their steps. Each waits at its steps
for its accelerator, so that none has begun a step that rank 0 has not: see Ranks.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from traceanalyzer.collect.accelerator import synchronize

_ATTEMPTS = 3  # to end a script that goes on all the same
_FAREWELL_S = 10  # waited for the other ranks to come to the same end
_BOUNDARY = "stop"

Say = Callable[[str], None]


class StopRun(SystemExit):
    """Raised in the script; an exit code of 0."""


class Stopper:
    """Counts the steps of this process, and ends it at the end of one."""

    def __init__(self, say: Say, ranks: Ranks | None = None) -> None:
        self.steps = 0  # whole ones that the script ran, counted through restarts
        self.stopped = False
        self._say = say
        self._ranks = ranks
        self._attempts = 0
        self._pid = os.getpid()

    def step(self, *, over: bool) -> None:
        """A step has ended; `over`: this process has captured what it was asked to. May raise StopRun."""
        if os.getpid() != self._pid:
            return
        self.steps += 1
        if self._attempts >= _ATTEMPTS or not self._may_stop(over):
            return
        self._attempts += 1
        self.stopped = self._attempts < _ATTEMPTS
        if not self.stopped:
            self._say("the script catches SystemExit and goes on, so --stop does not end it")
            return
        if threading.current_thread() is threading.main_thread():
            raise StopRun(0)
        if self._attempts == 1:
            self._interrupt_main_thread()
        raise SystemExit(0)  # of a thread this class alone ends without a word: threading.excepthook

    def ended(self, error: BaseException | None) -> BaseException | None:
        """What ended the script, without what ended it for us: nothing, as if it had come to its end."""
        if not self.stopped:
            return error
        if self._ranks is not None:
            self._ranks.leave()
        if error is not None and not isinstance(error, SystemExit | KeyboardInterrupt):
            return error  # what failed in the script's own `finally`
        return None

    def _may_stop(self, over: bool) -> bool:
        return over if self._ranks is None else self._ranks.may_stop(self.steps, over=over)

    def _interrupt_main_thread(self) -> None:
        """Where another thread makes the steps, the main one waits for it: as Ctrl-C would end both."""
        main, handler = threading.main_thread().ident, signal.getsignal(signal.SIGINT)
        if main is not None and handler is signal.default_int_handler and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)
        else:
            self._say("the steps run in a thread, which --stop ends; the rest of the script goes on")


class Ranks:
    """The processes of one job, which stop after the same step.

    Rank 0 announces the step after the one it has just ended. Another rank that has ended step s, and all of
    its communication, knows that rank 0 has begun s, and has announced s where that is the last: so it never
    passes it. A rank of a job whose steps do not communicate may, and stops when it sees it.
    """

    def __init__(self, rank: int, count: int, capturing: Sequence[int], first: int, say: Say) -> None:
        """`capturing`: the ranks that are waited for; `first`: the earliest step at which all can be over."""
        self._rank, self._count, self._first, self._say = rank, count, first, say
        self._awaited = [rank for rank in capturing if rank != 0]
        self._store: Any = None
        self._last: int | None = None  # the step that all stop after
        self._said_over = False

    def may_stop(self, steps: int, *, over: bool) -> bool:
        """Whether this rank, which has ended so many steps, ends here."""
        if steps < self._first or (self._rank == 0 and not over):
            return False
        if self._store is None:
            self._store = job_store()
        if self._store is None:
            return over and self._alone()
        try:
            return self._agreed(steps, over)
        except (RuntimeError, ValueError):  # the script has left the job
            return over

    def leave(self) -> None:
        """Wait until the others have come to the same end, then leave the job's process group."""
        if self._store is None:
            return
        keys = [f"left{rank}" for rank in range(self._count)]
        with contextlib.suppress(RuntimeError, ValueError):
            self._store.set(keys[self._rank], "1")
            self._store.wait(keys, timedelta(seconds=_FAREWELL_S))
        gc.collect()  # models that hold the group
        import torch.distributed as dist

        with contextlib.suppress(RuntimeError, ValueError, AssertionError):
            if dist.is_initialized():
                dist.destroy_process_group()

    def _agreed(self, steps: int, over: bool) -> bool:
        if self._rank == 0:
            if self._last is None and self._all_over():
                self._last = steps + 1
                self._store.set(_BOUNDARY, str(self._last))
        else:
            if over and not self._said_over:
                self._store.set(f"over{self._rank}", "1")
                self._said_over = True
            if not over and self._rank in self._awaited:  # rank 0 has not said anything before all are over
                return False
            synchronize()
            if self._last is None and self._store.check([_BOUNDARY]):
                self._last = int(self._store.get(_BOUNDARY))
        return self._last is not None and steps >= self._last

    def _all_over(self) -> bool:
        keys = [f"over{rank}" for rank in self._awaited]
        return not keys or bool(self._store.check(keys))

    def _alone(self) -> bool:
        if self._rank == 0:
            self._say(
                "--stop ends rank 0 alone: the script has joined no process group, so nobody tells the others"
            )
        return True


def job_store() -> Any:
    """Where the ranks of this job can leave a word for each other; None before they have met."""
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_initialized():
        return None
    from torch.distributed import distributed_c10d

    c10d: Any = distributed_c10d  # which does not declare what it takes from C++
    return c10d.PrefixStore("traceanalyze", c10d._get_default_store())
