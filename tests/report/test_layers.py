"""Rows that differ by the number of a layer alone are one, and nothing is lost by it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.report import example
from traceanalyzer.records import Analysis
from traceanalyzer.report.layers import layer_of, layers, merged


@pytest.mark.parametrize(
    "module, layer",
    [
        ("blocks.7.up", "blocks.*.up"),
        ("0", "*"),
        ("encoder.layers.11.3", "encoder.layers.*.*"),
        ("layer1.0.conv2", "layer1.*.conv2"),
        ("head", "head"),
    ],
)
def test_only_numbers_that_stand_alone_are_left_out(module: str, layer: str) -> None:
    assert layer_of(module) == layer


def sums(analysis: Analysis) -> Counter[tuple[str, ...]]:
    """Every total of a row, by what makes rows comparable."""
    found: Counter[tuple[str, ...]] = Counter()
    for row in analysis.op_rows:
        for field in ("attributed_ns", "time_ns", "calls", "kernels", "flops", "read_bytes", "write_bytes"):
            found[row.name, row.verdict, row.phase or "", field] += getattr(row, field) or 0
    return found


@pytest.mark.parametrize("name", sorted(example.EVERY_CASE))
def test_sums_are_what_they_were(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    assert sums(merged(analysis)) == sums(analysis)


def test_rows_of_one_kind_of_layer_are_one() -> None:
    analysis = merged(example.example_analysis())
    keys = [
        (r.name, str(r.input_dims), str(r.input_strides), str(r.input_types), str(r.concrete_inputs), r.phase,
         r.module, r.verdict, r.bound, r.engine, r.precision, r.reason)
        for r in analysis.op_rows
        if r.module
    ]  # fmt: skip
    assert len(keys) == len(set(keys)) and any("*" in key[6] for key in keys)
    assert list(analysis.op_rows) == sorted(analysis.op_rows, key=lambda r: -r.attributed_ns)


def test_layers_add_up_to_what_modules_take() -> None:
    analysis = example.example_analysis()
    inside = sum(r.attributed_ns for r in analysis.op_rows if r.module) / analysis.time.busy_ns
    assert sum(line.share for line in layers(analysis)) == pytest.approx(inside)
