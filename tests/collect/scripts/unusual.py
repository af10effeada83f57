"""Scripts that do what few do, each by its name: the first argument."""

import atexit
import importlib.util
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

HOW = sys.argv[1]
if HOW == "looked_up_first":  # as transformers does before it imports torch
    assert importlib.util.find_spec("torch") is not None
    assert os.path.isfile(importlib.util.find_spec("torch").loader.get_filename("torch"))

import torch  # noqa: E402
from torch import nn  # noqa: E402


def make() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    return model, torch.optim.SGD(model.parameters(), lr=0.01)


def train(steps: int, model: nn.Module, optimizer: torch.optim.Optimizer, each=lambda step: None) -> None:
    for step in range(steps):
        loss = model(torch.randn(8, 16)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(step, f"{loss.item():.6f}", flush=True)
        each(step)


def chained_sigterm(step: int) -> None:
    """A checkpoint is saved by a handler that then calls the one before it, if there was one."""
    if step:
        return
    before = signal.getsignal(signal.SIGTERM)

    def handle(number, frame):
        print("checkpoint saved", before is signal.SIG_DFL, flush=True)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, handle)


def terminated(step: int) -> None:
    chained_sigterm(step)
    if step == 4:
        os.kill(os.getpid(), signal.SIGTERM)


def forked_early(step: int) -> None:
    if step == 1:
        pid = os.fork()
        if pid == 0:
            atexit.register(print, "the child's own handler")
            sys.exit(3)
        print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def profiled_later(step: int) -> None:
    if step == 20:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as own:
            torch.ones(8) + 1
        print(max(event.count for event in own.key_averages()) > 0)


class Awkward(nn.Module):
    """Fails at attributes that it does not have, in a way that hasattr does not catch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 1)

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise KeyError(name) from None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class Temporary(nn.Module):
    """Makes modules in every forward; their places in memory are used again."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.Tanh()(nn.Sigmoid()(self.inner(x)))


def hook_that_exits(kind, error, trace) -> None:
    sys.__excepthook__(kind, error, trace)
    assert sys.last_value is error
    sys.exit(9)


def hook_that_fails(kind, error, trace) -> None:
    raise RuntimeError("the hook is bad")


def fail_at(number: int):
    def each(step: int) -> None:
        if step == number:
            raise ValueError("as planned")

    return each


def compiled_step() -> None:
    model, optimizer = make()

    @torch.compile
    def step(x: torch.Tensor) -> torch.Tensor:
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for number in range(14):
        print(number, f"{step(torch.randn(8, 16)).item():.6f}", flush=True)


if HOW == "looked_up_first":
    train(9, *make())
elif HOW == "terminated":
    train(12, *make(), terminated)
elif HOW == "thread":
    thread = threading.Thread(target=train, args=(12, *make()))
    thread.start()
    thread.join()
elif HOW == "thread_ends_early":
    thread = threading.Thread(target=train, args=(7, *make()))
    thread.start()
elif HOW == "executor_at_work":
    ThreadPoolExecutor(1).submit(train, 12, *make())
elif HOW == "threads_of_one_call":
    model = nn.Linear(16, 1)
    for _ in range(20):
        one = threading.Thread(target=model, args=(torch.ones(8, 16),))
        one.start()
        one.join()
    print("served")
elif HOW == "forked_early":
    train(12, *make(), forked_early)
elif HOW == "profiled_later":
    train(22, *make(), profiled_later)
elif HOW == "hook_exits":
    sys.excepthook = hook_that_exits
    train(12, *make(), fail_at(6))
elif HOW == "hook_fails":
    sys.excepthook = hook_that_fails
    train(12, *make(), fail_at(6))
elif HOW == "no_stderr":
    sys.stderr.close()
    train(12, *make())
elif HOW == "awkward_module":
    torch.manual_seed(3)
    model = Awkward()
    train(12, model, torch.optim.SGD(model.parameters(), lr=0.01))
elif HOW == "second_training":
    train(10, *make())
    train(6, *make())
elif HOW == "temporary_modules":
    torch.manual_seed(3)
    model = Temporary()
    train(12, nn.Sequential(model), torch.optim.SGD(model.parameters(), lr=0.01))
elif HOW == "compiled_step":
    compiled_step()
else:
    raise SystemExit(f"no such script: {HOW}")
