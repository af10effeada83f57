"""The twenty largest priced operators of every trace, calculated a second time in another way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest

from tests.pipeline import real
from tests.pipeline.second.calculation import Work, item_type, work
from tests.pipeline.second.recorded import TYPES, Call, Recording
from traceanalyzer.records import Analysis, OpRow

SAMPLES = sorted((Path(__file__).parents[3] / "sample_traces").glob("*.json.gz"))
LARGEST = 20
LEAST = 0.85  # of their time must be compared: old traces do not tell convolutions of one size apart
CLOSE = 0.01  # statistics of a row, partial results: what one counts and the other does not


def largest(analysis: Analysis) -> list[OpRow]:
    priced = [r for r in analysis.op_rows if r.flops is not None and r.input_dims is not None]
    rows = [r for r in priced if r.verdict not in ("copy", "communication")]
    return sorted(rows, key=lambda r: -r.time_ns)[:LARGEST]


def second(row: OpRow, recording: Recording) -> Work | None:
    """None where there is no rule, or the row stands for calls that differ in what they cost."""
    found = set()
    item = item_type([kernel.name for kernel in row.kernel_names])
    types = row.input_types or ()
    for call in recording.alike(row.name, row.input_dims, types, row.input_strides, row.concrete_inputs):
        found.add(old_convolution(call, recording) or work(replace(call, item=item)))
    return found.pop() if len(found) == 1 else None


def old_convolution(call: Call, recording: Recording) -> Work | None:
    """Of traces without strides and paddings: the gradient elsewhere in the trace has the output's size."""
    if call.concrete or "convolution" not in call.name or "batch" in call.name:
        return None
    if call.name.endswith(("_backward_input", "_backward_weight")):
        gradient, other = call.dims[1], call.dims[2]
        third = recording.third_of(call.name, gradient, other)
        weight = other if call.name.endswith("_input") else third
        sizes = (gradient, other, third)
    else:
        given, weight = call.dims[:2]
        gradient = recording.gradient_of(given, weight)
        sizes = (given, weight, gradient)
    if None in sizes:
        return None
    each = TYPES[call.types[1]].itemsize
    flops = 2 * prod(gradient) * prod(weight) // weight[0]
    return Work(flops, each * sum(map(prod, sizes)))


def compared(file: Path) -> Iterator[tuple[OpRow, Work | None]]:
    recording = Recording(file)
    for row in largest(real.with_roofs(file)):
        yield row, second(row, recording)


def check(file: Path) -> None:
    total = seen = 0
    for row, again in compared(file):
        told = f"{row.name} {row.input_dims} {row.concrete_inputs}: {row.calls} calls"
        ours = ((row.read_bytes or 0) + (row.write_bytes or 0)) / row.calls
        if row.name.startswith("triton_"):
            assert ours <= argument_bytes(row), told
            continue
        if "cpp_fused" in row.name:  # its buffers are recorded by our own collector
            continue
        total += row.time_ns
        print(f"{'=' if again else '?'} {told[:150]} {again}")
        if again is None:
            continue
        seen += row.time_ns
        if "bounded" in row.flags:
            assert between(row.bytes_range, row.calls, again.bytes), told
            continue
        assert ours == pytest.approx(again.bytes, rel=CLOSE, abs=64), told
        if again.flops is not None:
            assert (row.flops or 0) / row.calls == pytest.approx(again.flops, rel=1e-3), told
    print(f"{file.name}: {seen / max(total, 1):.3f} of the time compared")
    assert seen >= LEAST * total, file.name


def between(ends: tuple[int, int] | None, calls: int, figure: int) -> bool:
    """Of one call, where data decides; the other calculation takes the data that asks for most."""
    return ends is not None and ends[0] <= calls * figure <= (1 + CLOSE) * ends[1]


def argument_bytes(row: OpRow) -> int:
    """All that a launch was given, in full: no kernel can have touched more than that once."""
    pairs = zip(row.input_dims or (), row.input_types or (), strict=False)
    return sum(prod(dims) * TYPES[kind].itemsize for dims, kind in pairs if kind in TYPES and dims)


@pytest.mark.parametrize("file", SAMPLES, ids=lambda f: f.name)
def test_samples(file: Path) -> None:
    check(file)


def test_real_traces(real_traces: Path) -> None:
    for file in real.files(real_traces):
        check(file)
