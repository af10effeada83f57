"""Producer-consumer edges: the execution trace of one step, its operators in the order of time.

An execution trace knows storages but no times, the profiler's trace of the same step knows times; both
carry the number of each recorded function (`rf_id`; "Record function id"). Storage numbers are used again
after a free, so that only the order of time gives a number its meaning: the last writer before a read.
Format: torch/csrc/profiler/standalone/execution_trace_observer.cpp.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from traceanalyzer.collect.calling_lines import MARK, CallSites

VERSION = 2

TensorUse = tuple[int, int, int, int, int]
"""Argument (or output) number, storage number, offset and count in elements, bytes an element."""


class Operators(msgspec.Struct):
    """Columns of one step's operators, by their start; `name` indexes `names`, `parent` these columns."""

    names: list[str] = msgspec.field(default_factory=list)
    name: list[int] = msgspec.field(default_factory=list)
    thread: list[int] = msgspec.field(default_factory=list)
    parent: list[int] = msgspec.field(default_factory=list)  # -1: none
    ended: list[int] = msgspec.field(default_factory=list)  # how many had started when it ended
    dims: list[Any] = msgspec.field(default_factory=list)  # of each input, as in the profiler's trace
    inputs: list[list[TensorUse]] = msgspec.field(default_factory=list)
    outputs: list[list[TensorUse]] = msgspec.field(default_factory=list)
    mutated: list[list[int]] = msgspec.field(default_factory=list)  # numbers of the inputs it writes to
    site: list[int] = msgspec.field(default_factory=list)  # row in `call_sites.sites`; -1: not known
    call_sites: CallSites = msgspec.field(default_factory=CallSites)
    version: int = VERSION


def evidence(trace: Path, execution: Path, call_sites: CallSites) -> str:
    """JSON of `Operators`; ValueError or OSError where the two files cannot be read or do not match.

    `call_sites`: what the marks in the recording are of.
    """
    started = _started(json.loads(trace.read_bytes()))
    nodes = {node["id"]: node for node in json.loads(execution.read_bytes())["nodes"]}
    columns = _columns(nodes, started)
    columns.call_sites, listed = call_sites, len(call_sites.sites)
    columns.site = [site if site < listed else -1 for site in columns.site]
    return json.dumps(msgspec.to_builtins(columns), separators=(",", ":"))


def _started(document: Mapping[str, Any]) -> dict[int, tuple[float, float]]:
    """Number of a recorded function -> start and end, as the profiler's trace has them."""
    return {
        event["args"]["Record function id"]: (float(event["ts"]), float(event["ts"]) + float(event["dur"]))
        for event in document["traceEvents"]
        if event.get("ph") == "X" and event.get("args", {}).get("Record function id")
    }


def _columns(nodes: Mapping[int, Mapping[str, Any]], started: Mapping[int, tuple[float, float]]) -> Operators:
    timed = [
        (started[number], node["id"], node) for node in nodes.values()
        if (number := _attribute(node, "rf_id")) in started and _attribute(node, "scope") in (0, 1)
    ]  # fmt: skip  # scope 0: operators, 1: autograd nodes; the rest are annotations
    if not timed:
        raise ValueError("no operator of the execution trace is in the profiler's trace")
    timed.sort(key=lambda entry: (entry[0][0], entry[1]))
    sites = list(_sites(node for _, _, node in timed))
    timed = [entry for entry in timed if not entry[2]["name"].startswith(MARK)]
    starts = [start for (start, _), _, _ in timed]
    ordered = [node for _, _, node in timed]
    row_of = {node["id"]: row for row, node in enumerate(ordered)}
    name_ids: dict[str, int] = {}
    columns = Operators(site=sites)
    for node in ordered:
        columns.name.append(name_ids.setdefault(node["name"], len(name_ids)))
        columns.thread.append(_attribute(node, "tid"))
        columns.parent.append(_parent(node, nodes, row_of))
        columns.dims.append(node["inputs"]["shapes"])
        columns.inputs.append(list(_tensors(node["inputs"])))
        columns.outputs.append(list(_tensors(node["outputs"])))
        columns.mutated.append(_mutated(_attribute(node, "op_schema")))
    columns.ended = [max(bisect_left(starts, end), row + 1) for row, ((_, end), _, _) in enumerate(timed)]
    columns.names = list(name_ids)
    return columns


def _sites(ordered: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """Of each operator the last mark before it in its thread."""
    reached: dict[int, int] = {}
    for node in ordered:
        thread = _attribute(node, "tid")
        if node["name"].startswith(MARK):
            reached[thread] = int(node["name"].removeprefix(MARK))
        else:
            yield reached.get(thread, -1)


def _attribute(node: Mapping[str, Any], name: str) -> Any:
    return next((each["value"] for each in node["attrs"] if each["name"] == name), None)


def _parent(node: Mapping[str, Any], nodes: Mapping[int, Any], row_of: Mapping[int, int]) -> int:
    """The nearest operator round this one; annotations between are passed over."""
    above = node["ctrl_deps"]
    while above not in row_of:
        if above not in nodes or nodes[above]["ctrl_deps"] == above:
            return -1
        above = nodes[above]["ctrl_deps"]
    return row_of[above]


def _tensors(side: Mapping[str, Any]) -> Iterator[TensorUse]:
    for number, (value, type_text) in enumerate(zip(side["values"], side["types"], strict=True)):
        if type_text.startswith("Tensor("):
            yield from _use(number, value)
        elif type_text.startswith("GenericList[") and "Tensor(" in type_text:
            for each in value:  # some may be missing, as in x[:, rows]
                if isinstance(each, list):
                    yield from _use(number, each)


def _use(number: int, value: list[Any]) -> Iterator[TensorUse]:
    """`value`: tensor, storage, offset, elements, bytes an element, device."""
    if len(value) >= 5 and value[3] > 0:
        yield (number, value[1], value[2], value[3], value[4])


def _mutated(schema: str | None) -> list[int]:
    """Numbers of the arguments that a schema such as `add_(Tensor(a!) self, ...)` marks as written."""
    if not schema:
        return []
    number, depth, mutated = 0, 0, []
    arguments = schema.partition("(")[2].rpartition(") -> ")[0].replace("*, ", "")
    for letter in arguments:
        depth += (letter in "([") - (letter in ")]")  # defaults may be lists
        number += letter == "," and depth == 0
        if letter == "!" and number not in mutated:
            mutated.append(number)
    return mutated
