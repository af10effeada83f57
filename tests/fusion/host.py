"""A simulated host that launches to a simulated device, and writes what a profiler would have recorded.

Time passes on the host alone; the device works off what was launched in its order. So whatever a situation
costs is known without a look at its rows: the same loop is run again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.pipeline.kineto import Kineto

LATENCY = 4.0  # us from the return of a launch call to the start of its kernel
ACQUIRE = "<built-in method acquire of _thread.lock object at 0x7f00>"


@dataclass
class Host:
    """All times in us."""

    trace: Kineto = field(default_factory=Kineto)
    now: float = 1000.0
    device_free: float = 0.0

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        """An annotation around what is done inside."""
        begin = self.now
        self.now += 1
        yield
        self.now += 1
        self.trace.annotation(name, begin, self.now - begin)

    def works(self, us: float, *functions: str) -> None:
        """Python: what is recorded of it are these functions, from the outside in."""
        for depth, name in enumerate(functions):
            self.trace.python(name, self.now + depth, us - 2 * depth)
        self.now += us

    def beside(self, name: str, us: float) -> None:
        """Another thread does something from now on."""
        self.trace.op(name, self.now, us, tid=2)

    def kernels(self, count: int, us: float, every: float = 10.0, thread: int = 1) -> None:
        """So many operators, one each `every` us of the host, whose kernels take `us`."""
        for _ in range(count):
            self.trace.op("aten::mm", self.now + 1, every - 2, tid=thread)
            correlation = self.trace.launch(self.now + 3, dur=4, tid=thread)
            self._device("gemm", us, correlation, self.now + 7)
            self.now += every

    def dispatches(self, name: str, us: float) -> None:
        """An operator that launches nothing."""
        self.trace.op(name, self.now + 1, us - 2)
        self.now += us

    def replays(self, count: int, us: float) -> None:
        """One graph of so many kernels."""
        correlation = self.trace.launch(self.now, api="cudaGraphLaunch", dur=20)
        for _ in range(count):
            self._device("gemm", us, correlation, self.now + 20)
        self.now += 30

    def item(self) -> None:
        """Waits for the device."""
        begin, end = self.now, max(self.now, self.device_free) + 6
        for depth, name in enumerate(("aten::item", "aten::_local_scalar_dense")):
            self.trace.op(name, begin + depth, end - begin - 2 * depth)
        self.trace.launch(begin + 2, api="cudaStreamSynchronize", dur=end - begin - 4)
        self.now = end

    def calls(self, name: str, us: float) -> None:
        """A call of the driver that launches nothing."""
        self.trace.launch(self.now, api=name, dur=us)
        self.now += us

    def copies(self, to: str, us: float, size: int, host: float = 10.0) -> None:
        """To the device or the host, pageable: the call returns when the copy is done."""
        start = max(self.now + 3, self.device_free)
        end = max(start + us, self.now + host - 2)
        self.trace.op("aten::copy_", self.now, end - self.now + 2)
        correlation = self.trace.launch(self.now + 1, api="cudaMemcpyAsync", dur=end - self.now)
        way = "HtoD (Pageable -> Device)" if to == "device" else "DtoH (Device -> Pageable)"
        self.trace.kernel(f"Memcpy {way}", start, us, correlation, cat="gpu_memcpy", bytes=size)
        self.device_free = start + us
        self.now = end + 3

    @property
    def end(self) -> float:
        """Of all that the host and the device did."""
        return max(self.now, self.device_free)

    def _device(self, name: str, us: float, correlation: int, launched: float) -> None:
        start = max(launched + LATENCY, self.device_free)
        self.trace.kernel(name, start, us, correlation)
        self.device_free = start + us


Loop = Callable[[Host, int, bool], None]
"""One step: the host, the step's number, and whether the remedy is applied."""


def recorded(loop: Loop, steps: int, path: Path) -> Path:
    """The trace of so many steps without a remedy."""
    return _run(loop, steps, mended=False).trace.write(path)


def avoidable_ns(loop: Loop, steps: int) -> float:
    """By how much a step is longer than with the remedy."""
    longer = _run(loop, steps, mended=False).end - _run(loop, steps, mended=True).end
    return 1000 * longer / steps


def _run(loop: Loop, steps: int, *, mended: bool) -> Host:
    host = Host()
    for number in range(steps):
        with host.named(f"ProfilerStep#{number}"):
            loop(host, number, mended)
    return host
