"""Names that carry what a compiled loop touches."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.trace.reading.cpp_kernels import annotated
from traceanalyzer.trace.reading.events import Event

KINDS = ("float32", "bfloat16", "int64", "bool")
buffers = st.lists(st.tuples(st.sampled_from(KINDS), st.lists(st.integers(1, 10**7), max_size=4)), max_size=5)


def text(buffer: tuple[str, list[int]]) -> str:
    return f"{buffer[0]}[{','.join(map(str, buffer[1]))}]"


@given(buffers, buffers, st.integers(0, 10**12))
def test_what_is_written_is_read_back(
    read: list[tuple[str, list[int]]], written: list[tuple[str, list[int]]], elements: int
) -> None:
    body = " ".join([*map(text, read), "->", *map(text, written), f"@{elements}"])
    event = annotated(Event(name=f"graph_0_cpp_fused_gelu_2({body})"))
    assert event.name == "graph_0_cpp_fused_gelu_2" and event.args is not None
    assert json.loads(bytes(event.args.dims)) == [dims for _, dims in read + written] + [[]]
    assert json.loads(bytes(event.args.types)) == [kind for kind, _ in read + written] + ["Scalar"]
    marks = ["in"] * len(read) + ["out"] * len(written)
    assert json.loads(bytes(event.args.concrete)) == [*marks, str(elements)]


@pytest.mark.parametrize(
    "name",
    [
        "graph_0_cpp_fused_gelu_2",
        "graph_0_cpp_fused_gelu_2()",
        "graph_0_cpp_fused_gelu_2(float32[4 -> float32[4] @4)",
        "graph_0_cpp_fused_gelu_2(float32[4] -> float32[4])",
        "void at::native::vectorized_elementwise_kernel<4>(int)",
        None,
    ],
)
def test_other_names_are_left_alone(name: str | None) -> None:
    event = Event(name=name)
    assert annotated(event) is event


def test_a_type_nobody_knows_gives_no_shapes() -> None:
    event = annotated(Event(name="cpp_fused_x_0(float99[4] -> float32[4] @4)"))
    assert event.name == "cpp_fused_x_0" and event.args is None


def test_the_rest_of_the_row_is_kept() -> None:
    row = msgspec.convert({"name": "cpp_fused_x_0(-> float32[4] @4)", "ts": 1.5, "dur": 2.0}, Event)
    event = annotated(row)
    assert (event.ts, event.dur, event.name) == (1.5, 2.0, "cpp_fused_x_0")
