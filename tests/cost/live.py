"""Operators run for real: what each call truly reads and writes, beside what the profiler records of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.cost.calls import NAMES
from tests.files import loaded
from traceanalyzer.records import OpCall
from traceanalyzer.records.units import canonical_dtype

# Arguments that the operator writes without reading them, whatever the schema's alias says of them.
WRITE_ONLY = dict.fromkeys(
    ("copy_", "fill_", "zero_", "_foreach_copy_", "_foreach_zero_", "normal_", "uniform_", "bernoulli_",
     "exponential_", "geometric_", "log_normal_", "cauchy_", "random_"), 0)  # fmt: skip


# Arguments that only lend their size, or that these values of others make superfluous.
NOT_READ: dict[str, Callable[[dict[str, Any]], set[str]]] = {
    **dict.fromkeys(
        ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like",
         "new_zeros", "new_ones", "new_full", "avg_pool2d_backward", "avg_pool3d_backward",
         *(f"{kind}_pool{rank}d_backward" for kind in ("_adaptive_avg", "adaptive_max", "fractional_max")
           for rank in (2, 3)),
         *(f"max_pool{rank}d_with_indices_backward" for rank in (2, 3)),
         *(f"{kind}_pad{rank}d_backward" for kind in ("reflection", "replication") for rank in (1, 2, 3))),
        lambda _: {"self"}),
    "native_layer_norm_backward": lambda _: {"bias"},
    "baddbmm": lambda given: {"self"} if given.get("beta") == 0 else set(),
    "convolution_backward": lambda given: {
        *([] if given["output_mask"][0] else ["weight"]), *([] if given["output_mask"][1] else ["input"])},
}  # fmt: skip


def elements(tensor: torch.Tensor) -> int:
    """Distinct places in memory that a tensor reaches, counted one by one; none of one without dimensions."""
    if not tensor.dim() or not tensor.numel():
        return 0
    places = np.zeros((), np.int64)
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        places = np.add.outer(places, np.arange(size) * stride)
    return len(np.unique(places))


@dataclass(frozen=True)
class Seen:
    """What one call of an operator truly did."""

    name: str
    read_bytes: int
    write_bytes: int
    list_dtype: str | None = None  # of the items of its lists of tensors


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own, without types
    """Weighs what goes into and comes out of each operator that reaches a kernel; marks it in the trace."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[Seen] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        reads, mutated = _inputs(func, args, given)
        with torch.profiler.record_function(f"{MARK}{len(self.seen)}"):
            result = func(*args, **given)
        fresh = zip(flat(result), _returns(func, result), strict=False)
        made = mutated or [each for each, new in fresh if new]
        written = sum(each.numel() * each.element_size() for each in made)
        items = {NAMES[t.dtype] for value in args if isinstance(value, list | tuple) for t in flat(value)}
        kind = canonical_dtype(items.pop()) if len(items) == 1 else None
        self.seen.append(Seen(func._schema.name, reads, written, kind))
        return result


MARK = "watched call "
Pair = tuple[OpCall, Seen]


def watched(run: Callable[[], object], path: Path) -> list[Pair]:
    """Every call that `run` makes, as the profiler records it and as it was."""
    with torch.profiler.profile(record_shapes=True) as profiler, Watch() as watch:
        run()
    profiler.export_chrome_trace(str(path))
    trace = json.loads(path.read_text(encoding="utf-8"))
    marked = _first_in_each_mark(trace["traceEvents"])
    for number, event in marked.items():  # what the calls call themselves is left out
        event.update(ts=10 * number, dur=5)
    path.write_text(json.dumps(trace | {"traceEvents": list(marked.values())}), encoding="utf-8")
    recorded = loaded(str(path))
    rows = recorded.ops.start_ns.argsort(kind="stable")
    calls = recorded.ops.call[rows].tolist()
    assert len(calls) == len(marked)
    return [
        (recorded.calls[call], watch.seen[number])
        for number, call in zip(sorted(marked), calls, strict=True)
        if call >= 0 and recorded.calls[call].name == watch.seen[number].name
    ]


def _first_in_each_mark(events: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The operator that each mark in the trace holds."""
    spans = [e for e in events if e.get("ph") == "X" and e.get("cat") in ("cpu_op", "user_annotation")]
    found: dict[int, dict[str, Any]] = {}
    number, end = -1, 0.0
    for event in sorted(spans, key=lambda e: (e["tid"], e["ts"], -e["dur"])):
        if event["name"].startswith(MARK):
            number, end = int(event["name"].removeprefix(MARK)), event["ts"] + event["dur"]
        elif event["cat"] == "cpu_op" and event["ts"] <= end and number >= 0:
            found[number], number = event, -1
    return found


def _inputs(func: Any, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[int, list[torch.Tensor]]:
    """Bytes read, and the tensors that the operator changes."""
    read, mutated = 0, []
    bare, arguments = func._schema.name.removeprefix("aten::"), func._schema.arguments
    values = {each.name: given.get(each.name) for each in arguments}
    values |= {each.name: value for each, value in zip(arguments, args, strict=False)}
    skipped = NOT_READ[bare](values) if bare in NOT_READ else set()
    for place, declared in enumerate(arguments):
        value = values[declared.name]
        tensors = flat(value)
        if declared.alias_info is not None and declared.alias_info.is_write:
            mutated += tensors
        if declared.is_out or WRITE_ONLY.get(bare) == place or declared.name in skipped:
            continue
        # Of a number in a list of tensors a kernel knows no more than of other items: it is read.
        numbers = isinstance(value, list)
        read += sum((elements(t) or numbers and not t.dim()) * t.element_size() for t in tensors)
    return read, mutated


def _returns(func: Any, result: Any) -> list[bool]:
    """Whether each returned tensor is new, and not a view of an input."""
    fresh = [r.alias_info is None for r in func._schema.returns]
    return fresh if len(fresh) > 1 or not fresh else fresh * len(flat(result))


def flat(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [each for part in value for each in flat(part)] if isinstance(value, list | tuple) else []
