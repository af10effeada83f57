"""What a trace's stacks say, worked out row by row from the JSON alone."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traceanalyzer.records import Analysis

Row = dict[str, Any]
Thread = tuple[str, str]


def rows_of(file: Path) -> list[Row]:
    data = json.loads(gzip.decompress(file.read_bytes()))
    rows = data if isinstance(data, list) else data.get("traceEvents", [])
    return [row for row in rows if isinstance(row, dict) and row.get("ph") == "X" and "dur" in row]


def thread(row: Row) -> Thread:
    return str(row["pid"]), str(row["tid"])


def of_user(name: str) -> bool:
    """By the words of the contract: outside PyTorch, its compiled code, the standard library."""
    if name.startswith(("<", "nn.Module: ")) or "torchinductor" in name:
        return False
    if "lib/python3" in name and "-packages/" not in name:
        return False
    within = name.split("-packages/")[-1]
    top = re.split(r"[/.(]", within)[0]
    return top != "torch" and top not in sys.stdlib_module_names


@dataclass(frozen=True)
class Stack:
    """What is open on a thread at one moment."""

    function: tuple[int, str, str] | None  # line, name, file
    modules: tuple[str, ...]  # instances, outermost first
    entered: float = -1.0  # when the outermost module did


class Stacks:
    """Every frame of every thread, looked through for each question."""

    def __init__(self, rows: list[Row]) -> None:
        self.frames: dict[Thread, list[Row]] = defaultdict(list)
        for row in rows:
            if str(row.get("cat", "")).lower() == "python_function":
                self.frames[thread(row)].append(row)

    def at(self, on: Thread, ts: float) -> Stack:
        opened = [f for f in self.frames[on] if f["ts"] <= ts < f["ts"] + f["dur"]]
        opened.sort(key=lambda f: (f["ts"], -f["dur"]))
        functions = [f["name"] for f in opened if of_user(f["name"])]
        modules = [f for f in opened if f["name"].startswith("nn.Module: ")]
        chain = tuple(f["name"].removeprefix("nn.Module: ") for f in modules)
        return Stack(parsed(functions[-1]) if functions else None, chain, modules[0]["ts"] if modules else -1)

    def around(self) -> dict[str, tuple[str, ...]]:
        """Of each instance that another module called first by whom, outermost first."""
        callers: dict[str, tuple[str, ...]] = {}
        for on, frames in self.frames.items():
            for frame in sorted(frames, key=lambda f: f["ts"]):
                if frame["name"].startswith("nn.Module: "):
                    *outer, name = self.at(on, frame["ts"]).modules
                    if outer:
                        callers.setdefault(name, tuple(outer))
        return callers


def parsed(name: str) -> tuple[int, str, str]:
    match = re.fullmatch(r"(.+?)\((\d+)\): (.+)", name, re.DOTALL)
    assert match, name
    return int(match[2]), match[3], match[1]


def forward_of(rows: list[Row]) -> dict[int, tuple[Thread, float]]:
    """Where and when the forward operator of each sequence number began: the one that starts last."""
    moments: dict[int, tuple[float, Thread]] = {}
    for row in rows:
        args = row.get("args", {})
        number = args.get("Sequence number", -1)
        forward = row.get("cat") == "cpu_op" and args.get("Fwd thread id", 0) == 0 and number >= 0
        if forward and not row["name"].startswith("autograd::") and "Backward" not in row["name"]:
            moments[number] = max(moments.get(number, (-1.0, ("", ""))), (row["ts"], thread(row)))
    return {number: (on, ts) for number, (ts, on) in moments.items()}


def kernel_stacks(file: Path) -> dict[int, Stack]:
    """Of each correlation the stack at its launch, or at the forward operator of a backward one."""
    rows = rows_of(file)
    stacks, forward = Stacks(rows), forward_of(rows)
    nodes: dict[Thread, list[Row]] = defaultdict(list)
    for row in rows:
        if row["name"].startswith("autograd::engine::evaluate_function: "):
            nodes[thread(row)].append(row)
    result = {}
    for row in rows:
        if "runtime" in str(row.get("cat", "")).lower() or row.get("cat") == "cuda_driver":
            on, ts = thread(row), row["ts"]
            around = [n for n in nodes[on] if n["ts"] <= ts <= n["ts"] + n["dur"]]
            number = around[-1]["args"].get("Sequence number", -1) if around else -1
            stack = stacks.at(on, ts)
            again = around and stack.entered > around[0]["ts"]  # the forward pass of a layer, once more
            if number in forward and not again:
                stack = stacks.at(*forward[number])
            result[row.get("args", {}).get("correlation", -1)] = stack
    return result


def expected(file: Path, analysis: Analysis) -> tuple[dict[Any, int], dict[Any, int]]:
    """Busy time by function (line, name) and by classes of modules, as `kernels` attributes it."""
    stacks, around = kernel_stacks(file), Stacks(rows_of(file)).around()
    functions: dict[Any, int] = defaultdict(int)
    modules: dict[Any, int] = defaultdict(int)
    kernels = analysis.kernels
    columns = (kernels["correlation"].tolist(), kernels["attributed_ns"].tolist())
    for correlation, ns in zip(*columns, strict=True):
        stack = stacks.get(correlation, Stack(None, ()))
        functions[stack.function[:2] if stack.function else None] += ns
        chain = (*around.get(stack.modules[0], ()), *stack.modules) if stack.modules else ()
        modules[".".join(each.rpartition("_")[0] for each in chain) or None] += ns
    return drop_nothing(functions), drop_nothing(modules)


def drop_nothing(times: dict[Any, int]) -> dict[Any, int]:
    return {key: ns for key, ns in times.items() if ns}
