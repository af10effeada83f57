"""Who reads what whom wrote: recycled storages, parts of tensors, nesting, threads, by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import to_builtins

from traceanalyzer.collect.evidence import Operators
from traceanalyzer.fusion.evidence.execution_trace import Executed, Flow, executed, flows

ELEMENTS, SIZE = 100, 4
Tensor = tuple[int, int, int]  # storage, offset and count in elements


def step(*operators: dict[str, Any]) -> Executed:
    """Operators by name, reads, makes, changes (numbers of what it reads), inside, thread, until.

    `until` is the row whose start its end comes before: the next one where nothing is said.
    """
    names: list[str] = []
    found = Operators(names)
    for given in operators:
        name = given["name"]
        if name not in names:
            names.append(name)
        found.name.append(names.index(name))
        found.thread.append(given.get("thread", 1))
        found.parent.append(given.get("inside", -1))
        found.ended.append(given.get("until", len(found.name)))
        found.dims.append([])
        found.inputs.append([(i, *tensor, SIZE) for i, tensor in enumerate(given.get("reads", ()))])
        found.outputs.append([(i, *tensor, SIZE) for i, tensor in enumerate(given.get("makes", ()))])
        found.mutated.append(list(given.get("changes", ())))
    read = executed(json.dumps(to_builtins(found)))
    assert read is not None
    return read


def whole(storage: int) -> Tensor:
    return storage, 0, ELEMENTS


def found(*operators: dict[str, Any], idle: tuple[int, ...] = ()) -> set[tuple[int, int, int]]:
    """(producer, consumer, bytes) of each flow between operators of the step."""
    given = step(*operators)
    works = [row not in idle for row in range(len(given.name))]
    between = (flow for flow in flows(given, works) if flow.producer >= 0)
    return {(flow.producer, flow.consumer, flow.bytes) for flow in between}


def test_a_reader_has_the_last_writer_of_a_storage() -> None:
    """The second operator's storage number is used again by the third."""
    chain = (
        {"name": "aten::mul", "makes": [whole(7)]},
        {"name": "aten::exp", "reads": [whole(7)], "makes": [whole(8)]},
        {"name": "aten::add", "reads": [whole(8)], "makes": [whole(7)]},
        {"name": "aten::sum", "reads": [whole(7)], "makes": [(9, 0, 1)]},
    )
    assert found(*chain) == {(0, 1, 400), (1, 2, 400), (2, 3, 400)}


def test_in_place_reads_and_then_writes() -> None:
    chain = (
        {"name": "aten::mul", "makes": [whole(1)]},
        {"name": "aten::add_", "reads": [whole(1)], "makes": [whole(1)], "changes": [0]},
        {"name": "aten::exp", "reads": [whole(1)], "makes": [whole(2)]},
    )
    assert found(*chain) == {(0, 1, 400), (1, 2, 400)}


def test_a_view_is_no_write() -> None:
    chain = (
        {"name": "aten::mul", "makes": [whole(1)]},
        {"name": "aten::contiguous", "reads": [whole(1)], "makes": [whole(1)]},
        {"name": "aten::exp", "reads": [whole(1)], "makes": [whole(2)]},
    )
    assert (0, 2, 400) in found(*chain)


def test_what_is_only_written_is_not_read() -> None:
    chain = (
        {"name": "aten::mul", "makes": [whole(1)]},
        {"name": "aten::copy_", "reads": [whole(1), whole(5)], "makes": [whole(1)], "changes": [0]},
        {"name": "aten::exp", "reads": [whole(1)], "makes": [whole(2)]},
    )
    assert found(*chain) == {(1, 2, 400)}


def test_parts_have_writers_of_their_own() -> None:
    chain = (
        {"name": "aten::mm", "makes": [whole(1)]},
        {"name": "aten::fill_", "reads": [(1, 0, 30)], "makes": [(1, 0, 30)], "changes": [0]},
        {"name": "aten::exp", "reads": [whole(1)], "makes": [whole(2)]},
        {"name": "aten::log", "reads": [(1, 10, 10)], "makes": [whole(3)]},
    )
    assert found(*chain) == {(0, 2, 280), (1, 2, 120), (1, 3, 40)}


def test_operators_that_do_no_work_stand_in_nobodys_way() -> None:
    """linear calls addmm: both name the same tensors, and only the inner one works."""
    chain = (
        {"name": "aten::linear", "makes": [whole(1)], "until": 2},
        {"name": "aten::addmm", "makes": [whole(1)], "inside": 0},
        {"name": "aten::gelu", "reads": [whole(1)], "makes": [whole(2)]},
    )
    assert found(*chain, idle=(0,)) == {(1, 2, 400)}


def test_an_operator_writes_when_it_ends() -> None:
    """A loss calls a mean over what it made: the mean does not read the loss's own result."""
    chain = (
        {"name": "aten::mse_loss", "makes": [(9, 0, 1)], "until": 2},
        {"name": "aten::mean", "reads": [whole(5)], "makes": [(9, 0, 1)], "inside": 0},
        {"name": "aten::mul", "reads": [(9, 0, 1)], "makes": [(8, 0, 1)]},
    )
    assert found(*chain) == {(0, 2, 4)}


def test_threads_pass_on_what_has_ended() -> None:
    chain = (
        {"name": "aten::mul", "makes": [whole(1)]},
        {"name": "backward", "thread": 2, "until": 4},
        {"name": "aten::exp", "reads": [whole(1)], "makes": [whole(2)], "inside": 1, "thread": 2},
        {"name": "aten::add", "reads": [whole(2)], "makes": [whole(3)], "inside": 1, "thread": 2},
    )
    assert found(*chain, idle=(1,)) == {(0, 2, 400), (2, 3, 400)}


def test_flows_tell_the_argument() -> None:
    given = step(
        {"name": "aten::mul", "makes": [whole(1)]},
        {"name": "aten::add", "reads": [whole(4), whole(1)], "makes": [whole(2)]},
    )
    assert Flow(0, 1, 1, 400, (1, 0, 400)) in flows(given, [True, True])


def test_what_was_there_before_is_told_apart_by_its_storage() -> None:
    given = step(
        {"name": "aten::mul", "reads": [whole(5), whole(6)], "makes": [whole(1)]},
        {"name": "aten::add", "reads": [whole(5), whole(1)], "makes": [whole(2)]},
    )
    outer = [flow for flow in flows(given, [True, True]) if flow.producer < 0]
    told = [(flow.consumer, flow.argument, flow.bytes) for flow in outer]
    assert told == [(0, 0, 400), (0, 1, 400), (1, 0, 400)]
    assert outer[0].producer == outer[2].producer != outer[1].producer


def test_what_cannot_be_read_is_no_evidence() -> None:
    for text, words in (
        ('{"version": 2}', "missing"),
        ("[1, 2", "Expected"),
        (json.dumps(to_builtins(Operators(["a"], [0]))), "differ in length"),
    ):
        with pytest.raises(ValueError, match=words):
            executed(text)
    assert executed(json.dumps(to_builtins(Operators(version=99)))) is None
