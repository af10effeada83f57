"""Memory of a step: by hand, and against a replay of every row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline import real
from tests.pipeline.kineto import Kineto
from traceanalyzer.records import Analysis
from traceanalyzer.records.memory_use import MemoryHolder, MemoryUse

MIB = 2**20
FLOAT = ([1024, 1024], "float")


class Recorded(Kineto):
    """With the profiler's rows about memory; the allocator's totals are counted here."""

    def memory(self, ts: float, address: int, size: int, *, device: int = 0, totals: bool = True) -> None:
        total = self.metadata.setdefault(f"in use {device}", 100 * MIB) + size
        self.metadata[f"in use {device}"] = total
        args = {"Device Type": 1, "Device Id": device, "Addr": address, "Bytes": size}
        if totals:
            args |= {"Total Allocated": total, "Total Reserved": 300 * MIB}
        self.events.append(
            {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": 10, "tid": 1,
             "ts": ts, "args": args}
        )  # fmt: skip


def training(*, totals: bool = True) -> Recorded:
    """A step of 1000 µs: forward, backward, optimizer, each of which allocates."""
    trace = Recorded()
    trace.annotation("ProfilerStep#5", 0, 1000)
    trace.op("aten::exp", 100, 50, FLOAT, **{"Sequence number": 7, "Fwd thread id": 0})
    trace.kernel("exp_kernel", 160, 40, trace.launch(120))
    trace.memory(105, 0x1000, 8 * MIB, totals=totals)  # kept for backward
    trace.memory(110, 0x2000, 3 * MIB, totals=totals)  # gone before backward
    trace.memory(130, 0x2000, -3 * MIB, totals=totals)
    trace.memory(115, 0x1000, 500 * MIB, device=1)  # of another GPU, at the same address
    name = "autograd::engine::evaluate_function: ExpBackward0"
    trace.op(name, 400, 100, **{"Sequence number": 7, "Fwd thread id": 1})
    trace.op("aten::mul", 410, 50, FLOAT, FLOAT)
    trace.kernel("mul_kernel", 470, 40, trace.launch(420))
    trace.memory(415, 0x3000, 4 * MIB, totals=totals)  # outlives backward: a gradient
    trace.memory(430, 0x4000, 2 * MIB, totals=totals)  # the peak: 100 + 8 + 4 + 2
    trace.memory(440, 0x4000, -2 * MIB, totals=totals)
    trace.memory(450, 0x1000, -8 * MIB, totals=totals)
    trace.annotation("Optimizer.step#Adam.step", 600, 200)
    trace.op("aten::zeros_like", 610, 50, FLOAT)
    trace.kernel("fill_kernel", 660, 40, trace.launch(620))
    trace.memory(615, 0x5000, 1 * MIB, totals=totals)
    return trace


def use_of(trace: Kineto, folder: Path) -> MemoryUse | None:
    return traceanalyzer.analyze(trace.write(folder / "trace.json")).memory


def test_a_step_by_hand(tmp_path):
    use = use_of(training(), tmp_path)
    assert use is not None
    assert (use.step, use.how) == ("ProfilerStep#5", "totals")
    assert (use.before_step_bytes, use.peak_bytes, use.peak_at_ns) == (100 * MIB, 114 * MIB, 430_000)
    assert (use.device_bytes, use.reserved_bytes) == (85018279936, 300 * MIB)
    assert use.holders == (
        MemoryHolder(None, None, "before_recording", 100 * MIB),
        MemoryHolder(None, "forward", "activations", 8 * MIB),
        MemoryHolder(None, "backward", "gradients", 4 * MIB),
        MemoryHolder(None, "backward", "temporary", 2 * MIB),
    )
    assert sum(holder.bytes for holder in use.holders) == use.peak_bytes
    # 1 ms in 480 bins, rounded up: 2,084 ns each.
    assert use.bin_ns == 2084
    assert len(use.bins) == 480
    assert max(use.bins) == use.peak_bytes == use.bins[430_000 // 2084]
    assert use.bins[0] == 100 * MIB
    assert use.bins[-1] == 105 * MIB
    assert use.bins[200_000 // 2084] == 108 * MIB


def test_rows_without_totals_are_added_up(tmp_path):
    """Nothing is known of what was there before: the least that the rows leave is 0."""
    use = use_of(training(totals=False), tmp_path)
    assert use is not None
    assert (use.how, use.before_step_bytes, use.peak_bytes) == ("rows", 0, 14 * MIB)
    assert use.reserved_bytes is None


def test_no_rows_of_this_device_are_no_memory(tmp_path):
    trace = training()
    trace.events = [event for event in trace.events if event["args"].get("Device Id") != 0]
    assert use_of(trace, tmp_path) is None


def test_rows_without_addresses_tell_the_peak_and_no_holder(tmp_path):
    trace = training()
    for event in trace.events:
        event["args"].pop("Addr", None)
    use = use_of(trace, tmp_path)
    assert use is not None
    assert use.peak_bytes == 114 * MIB
    assert [(holder.kind, holder.bytes) for holder in use.holders] == [("before_recording", 114 * MIB)]


def check_replay(analysis: Analysis, file: Path) -> None:
    """One row after the other, in the order of their times."""
    use = analysis.memory
    content = file.read_bytes()
    text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    events = json.loads(text)["traceEvents"]
    gpu = analysis.device.kind == "gpu"
    rows = [e for e in events if e.get("name") == "[memory]" and (e["args"]["Device Type"] == 1) == gpu]
    if gpu:
        rows = [e for e in rows if e["args"]["Device Id"] == analysis.source.files[0].device_index]
    if use is None:
        assert not rows or analysis.window.step_count
        return
    rows.sort(key=lambda event: float(event["ts"]))
    if use.how != "rows":
        top = max(event["args"]["Total Allocated"] for event in rows)
        assert use.peak_bytes <= top
        if use.step is None:
            assert use.peak_bytes == top
    assert max(use.bins) == use.peak_bytes >= use.before_step_bytes >= 0
    assert len(use.bins) <= 480
    assert 0 <= use.peak_at_ns <= use.bin_ns * len(use.bins)
    assert use.bins[min(use.peak_at_ns // use.bin_ns, len(use.bins) - 1)] == use.peak_bytes
    if use.how != "rows" and use.holders:
        assert sum(holder.bytes for holder in use.holders) == use.peak_bytes
    if use.step is not None:
        begin = next(e for e in events if e.get("name") == use.step and e.get("ph") == "X")
        inside = [e for e in rows if begin["ts"] <= e["ts"] < begin["ts"] + begin["dur"]]
        if use.how == "totals":
            most = max(e["args"]["Total Allocated"] for e in inside)
            assert use.peak_bytes == max(most, use.before_step_bytes)
            assert use.reserved_bytes == max(e["args"]["Total Reserved"] for e in inside)


@pytest.mark.slow
def test_every_real_trace_is_as_a_replay_says(real_traces: Path) -> None:
    told = 0
    for file in real.files(real_traces):
        analysis = real.analyzed(file)
        told += analysis.memory is not None
        if analysis.memory is not None:
            check_replay(analysis, file)
    assert told >= 4
