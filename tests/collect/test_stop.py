"""`--stop`: the run ends after the capture, whatever the script would still do; all ranks of a job do so."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collect.harness import SCRIPTS, bare, document, launched, profiled, steps
from tests.collect.test_frameworks import TORCHRUN
from traceanalyzer.collect import stopping
from traceanalyzer.collect.stopping import Ranks, Stopper, StopRun

PLAIN = str(SCRIPTS / "plain.py")
TRACE = "t.trace.json.gz"
slow = pytest.mark.slow


def endless(folder: Path, *, body: str = "", before: str = "", after: str = "") -> str:
    """A script that trains for ever, with more in its loop and around it."""
    script = folder / "endless.py"
    script.write_text(
        f"import torch\n{before}\n"
        "w = torch.nn.Parameter(torch.ones(4))\n"
        "optimizer = torch.optim.SGD([w], lr=0.1)\n"
        "step = 0\n"
        "while True:\n"
        "    w.grad = torch.ones(4)\n"
        f"{body or '    optimizer.step()'}\n"
        f"    step += 1\n{after}\n"
    )
    return str(script)


def test_the_run_ends_after_the_capture(tmp_path: Path) -> None:
    """wait 3, warm-up 2, active 3, one as it is, one with evidence; then `finally` and atexit."""
    before = "import atexit\natexit.register(print, 'at exit')\nfile = open('log', 'w')\nfile.write('x')"
    body = "    try:\n        optimizer.step()\n    except Exception:\n        print('never')"
    run = profiled(tmp_path, endless(tmp_path, before=before, body=body), options=["--stop"])
    assert (run.code, run.stdout) == (0, b"at exit\n")
    assert run.said.count("traceanalyze: stopped after the capture; 10 steps ran") == 1
    assert not any("continues" in line for line in run.said)
    assert steps(tmp_path / TRACE) == [5, 6, 7] and (tmp_path / "log").read_text() == "x"
    record = document(tmp_path / TRACE)
    assert record["traceanalyze"]["complete"] is True and "traceanalyzeEvidence" in record


@slow
def test_a_script_that_ends_by_itself_is_not_stopped(tmp_path: Path) -> None:
    options = ["--stop", "--active", "9"]
    alone, run = bare(tmp_path, PLAIN), profiled(tmp_path, PLAIN, options=options)
    assert (run.code, run.stdout) == (0, alone.stdout) and not any(
        "stopped after" in line for line in run.said
    )


@slow
@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_workers_of_a_loader_end_as_well(how: str, tmp_path: Path) -> None:
    text = (SCRIPTS / "workers.py").read_text().replace("return 80", "return 10**9")
    (tmp_path / "workers.py").write_text(text)
    run = profiled(tmp_path, "workers.py", how, options=["--stop"])
    assert run.code == 0 and not run.others_said
    assert [line.split()[1] for line in run.stdout.decode().splitlines()] == [str(n) for n in range(9)]


@slow
@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(10**5,)).start()",
         "threads of the script"),
        ("import multiprocessing, time\nmultiprocessing.Process(target=time.sleep, args=(10**5,)).start()",
         "child processes of the script"),
    ],
    ids=["thread", "process"],
)  # fmt: skip
def test_what_would_never_end_is_not_waited_for(before: str, expected: str, tmp_path: Path) -> None:
    before += "\nimport atexit\natexit.register(print, 'at exit')"
    run = profiled(tmp_path, endless(tmp_path, before=before), options=["--stop"])
    assert (run.code, run.stdout) == (0, b"at exit\n")
    assert sum(expected in line for line in run.said) == 1 and steps(tmp_path / TRACE) == [5, 6, 7]


@slow
def test_a_training_thread_ends_and_who_waits_for_it(tmp_path: Path) -> None:
    text = Path(endless(tmp_path)).read_text().replace("step = 0\n", "step = 0\ndef train():\n", 1)
    head, _, loop = text.partition("def train():\n")
    loop = "".join(f"    {line}\n" for line in ("global step", *loop.splitlines()) if line)
    script = tmp_path / "threaded.py"
    main = "t = threading.Thread(target=train)\nt.start()\nt.join()\nthreading.Event().wait()\n"
    script.write_text(f"import threading\n{head}def train():\n{loop}{main}")
    run = profiled(tmp_path, str(script), options=["--stop"])
    assert run.code == 0 and steps(tmp_path / TRACE) == [5, 6, 7]
    assert not run.others_said, "no traceback of the thread"


@slow
def test_a_script_that_goes_on_all_the_same_is_left_alone(tmp_path: Path) -> None:
    body = "    try:\n        optimizer.step()\n    except BaseException:\n        print('caught')"
    script = endless(tmp_path, body=body, after="    if step == 20:\n        break")
    run = profiled(tmp_path, script, options=["--stop"])
    assert run.code == 0 and run.stdout == b"caught\n" * 2
    assert sum("catches SystemExit and goes on" in line for line in run.said) == 1


@slow
@pytest.mark.parametrize("ranks", ["0", "all"])
def test_all_ranks_of_a_job_stop_after_the_same_step(ranks: str, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "examples" / "ddp.py"
    command = [*TORCHRUN, "-m", "traceanalyzer", "profile", "--no-report", "--no-roofs", "--stop",
               "--ranks", ranks, str(script), "--steps", "100000"]  # fmt: skip
    run = launched(command, tmp_path, OMP_NUM_THREADS="1")
    assert run.code == 0, run.stderr
    assert len(list(tmp_path.iterdir())) == (1 if ranks == "0" else 2)
    assert all(steps(trace) == [5, 6, 7] for trace in tmp_path.iterdir())


class Store:
    """A torch.distributed.Store in one process."""

    def __init__(self) -> None:
        self.content: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        self.content[key] = value

    def get(self, key: str) -> bytes:
        return self.content[key].encode()

    def check(self, keys: list[str]) -> bool:
        return all(key in self.content for key in keys)


def last_steps(order: Iterator[int], over: dict[int, int], store: Store) -> list[int]:
    """After which step each rank ends, where `order` says who ends a step next and `over` when it is over.

    A rank ends a step only where all have begun it, since it communicates in each.
    """
    ranks = [Ranks(n, len(over), list(over), min(over.values()), lambda text: None) for n in over]
    ended, last = [0] * len(over), [0] * len(over)
    while not all(last):
        rank = next(order)
        begun = [done + (0 if stop else 1) for done, stop in zip(ended, last, strict=True)]
        if last[rank] or min(begun) <= ended[rank]:
            assert not all(stop or min(begun) <= done for stop, done in zip(last, ended, strict=True)), (
                "hangs"
            )
            continue
        ended[rank] += 1
        if ranks[rank].may_stop(ended[rank], over=ended[rank] >= over[rank]):
            last[rank] = ended[rank]
    return last


@pytest.mark.parametrize("over", [{0: 3, 1: 3}, {0: 3, 1: 6}, {0: 6, 1: 3}, {0: 4, 1: 3, 2: 5}])
def test_ranks_agree_whoever_is_ahead(over: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """In every order of eight ends, then in turn: the same step for all, once all are over."""
    for order in itertools.product(over, repeat=8 if len(over) == 2 else 6):
        store = Store()
        monkeypatch.setattr(stopping, "job_store", lambda store=store: store)
        last = last_steps(itertools.chain(order, itertools.cycle(over)), over, store)
        assert len(set(last)) == 1 and last[0] > max(over.values()), order


def test_a_rank_without_a_group_stops_alone_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "job_store", lambda: None)
    said: list[str] = []
    stopper = Stopper(said.append, Ranks(0, 2, [0], 2, said.append))
    stopper.step(over=False)
    with pytest.raises(StopRun):
        stopper.step(over=True)
    assert len(said) == 1 and "rank 0 alone" in said[0] and (stopper.steps, stopper.stopped) == (2, True)


def test_what_fails_in_the_script_s_own_end_is_no_stop() -> None:
    stopper = Stopper(lambda text: None)
    failure = ValueError("in finally")
    assert stopper.ended(failure) is failure
    with pytest.raises(StopRun):
        stopper.step(over=True)
    assert stopper.ended(failure) is failure
    assert stopper.ended(SystemExit(3)) is None and stopper.ended(KeyboardInterrupt()) is None


def test_the_exit_code_of_a_stop_is_0() -> None:
    assert isinstance(StopRun(0), SystemExit) and StopRun(0).code == 0 and sys.exc_info() == (None,) * 3
