"""Seen: the device waits for over a millisecond at a time while the host launches nothing: it is inside one
annotation, operator or Python function, which the trace names.

Instead: what has that name, out of the step: to another thread or process, or done every so many steps. An
optimizer that runs on the CPU, to the device, or beside the next forward pass.

Saves: at most the time in which the device waits for what has that name.

When not: the next kernels need its result.

Left out: waits that no name covers; waits that another rule knows the remedy of, such as loading data or
compiling; names of less than 2 % of the window; names of what itself launches the step's work, such as a
forward pass, a compiled region, an operator or an optimizer with kernels: something held it up, and the trace
does not show what; traces of a CPU, on which the host is the device. Where the trace names no steps, no time
is promised: it may be what comes once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from traceanalyzer.fusion.idle_claims import idle_claims
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records.trace import OpKind, RecordKind
from traceanalyzer.roofline.intervals import disjoint

_SHARE = 0.02  # of the window
_SHOWN = 3  # names
_MOST = 0.5  # of a wait, that something covers which explains it
_LAUNCHES = 0.1  # of the kernels: what launches more is the step's own work
_COMPILED = re.compile(r"CompiledFxGraph|CompiledFunction|Torch-Compiled Region|torchinductor")


@dataclass(frozen=True, slots=True)
class _Remedy:
    """What to do about work of such a name."""

    name: re.Pattern[str]
    action: str
    snippet: str = ""
    launches: float = _LAUNCHES  # of the kernels at most, for it to be what the host did instead


_LOCK = _Remedy(
    re.compile(r"\bacquire\b|\bwait_for\b|threading\.py\(\d+\): (?:wait|join)|queue\.py\(\d+\): get|_lock\b"),
    "Do not let the thread that launches wait for another one: shorten what that holds the lock for, or hand "
    "work over through a queue that is filled ahead.",
)
_TO_THE_DEVICE = (
    "Run the optimizer on the device, or its step on the host beside the next forward pass: {name} works "
    "on the host and launches nothing meanwhile.",
    "optimizer = torch.optim.AdamW(model.parameters(), fused=True)  # parameters on the device",
)
_REMEDIES = (
    _Remedy(re.compile(r"(?i:cpu_?(?:adam|adagrad|lion|optim)|offload)"), *_TO_THE_DEVICE),
    _Remedy(re.compile(r"(?i:optim.*step)"), *_TO_THE_DEVICE, launches=0.0),
    _Remedy(
        re.compile(r"\bgc\b|(?i:garbage)|<built-in function collect>|gc\.collect"),
        "Keep garbage collection out of the steps: freeze what stays, and collect every so many steps.",
        "gc.collect(); gc.freeze(); gc.disable()  # and gc.collect() every 1000 steps",
    ),
    _LOCK,
    _Remedy(
        re.compile(r"(?i:checkpoint|save|serializ)"),
        "Save while training goes on, or less often: {name} keeps the host from launching.",
        "torch.distributed.checkpoint.async_save(state, checkpoint_id=path)",
    ),
    _Remedy(
        re.compile(r"(?i:(?<![a-z])(?:eval|valid))"),
        "Evaluate less often, or in another process: {name} keeps the host from launching.",
        launches=1.0,
    ),
    _Remedy(
        re.compile(r"(?i:(?<!lr)(?<!lr_)schedul)"),
        "Schedule the next step while the device works on this one: {name} keeps the host from launching.",
    ),
    _Remedy(
        re.compile(r"(?i:(?<![a-z])log(?:g\w*|_\w*)?\b|callback|metric|print|hook)"),
        "Do it every so many steps, or hand it to another thread: {name} keeps the host from launching.",
    ),
)  # fmt: skip
_ELSE = "Move {name} out of the step: to another thread or process, or every so many steps."


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, for each name that is a visible part of the window."""
    if not graph.on_gpu:
        return
    ns, idle, names = idle_claims(graph).ns["host_work"], graph.judged.idle, graph.trace.names
    waited = np.zeros(len(names) + 1, np.int64)
    np.add.at(waited, idle.name, ns)  # -1 is the last entry
    for row in np.argsort(-waited[:-1], kind="stable")[:_SHOWN].tolist():
        share = int(waited[row]) / max(1, graph.window_ns)
        if share < _SHARE:
            return
        each = int(waited[row]) / graph.step_count
        longest = int(np.argmax(np.where(idle.name == row, ns, 0)))
        remedy, why = _remedy(graph, row, int(idle.start_ns[longest]), int(idle.end_ns[longest]))
        if _launched_share(graph, row) > (remedy.launches if remedy else _LAUNCHES):
            continue
        action = (remedy.action if remedy else _ELSE).format(name=_quoted(names[row]))
        evidence = f"{wait_evidence(graph, each, share)}, while the host is in {names[row]}{why}"
        yield waiting(graph, each, evidence, where=names[row], action=action,
                      snippet=remedy.snippet if remedy else "", again=graph.has_steps)  # fmt: skip


def _remedy(graph: StepGraph, row: int, start: int, end: int) -> tuple[_Remedy | None, str]:
    """What its name, or that of a function inside, asks for; and what another thread does meanwhile."""
    names, covering = graph.trace.names, _covering(graph, start, end)
    named = [at for at, (_, name) in enumerate(covering) if name == row]
    threads = {covering[at][0] for at in named}
    inside = [name for thread, name in covering[named[0] + 1 :] if thread in threads] if named else []
    for name in (row, *reversed(inside)):
        for remedy in _REMEDIES:
            if remedy.name.search(names[name]):
                others = [names[name] for thread, name in covering if thread not in threads]
                meanwhile = remedy is _LOCK and others
                return remedy, f"; meanwhile another thread is in {others[-1]}" if meanwhile else ""
    return None, ""


def _launched_share(graph: StepGraph, row: int) -> float:
    """Of all kernels, those that are launched within what has this name; of an operator, one is all."""
    ops, spans, kernels = graph.trace.ops, graph.trace.spans, graph.trace.kernels
    if _COMPILED.search(graph.trace.names[row]):
        return 1.0
    mine, frames = np.flatnonzero(ops.name == row), np.flatnonzero(spans.name == row)
    held = disjoint(np.concatenate((ops.start_ns[mine], spans.start_ns[frames])),
                    np.concatenate((ops.end_ns[mine], spans.end_ns[frames])),
                    np.zeros(len(mine) + len(frames), np.int32))  # fmt: skip
    launched = kernels.launch_ns[(kernels.kind == RecordKind.KERNEL) & (kernels.launch >= 0)]
    begun = np.searchsorted(held.start_ns, launched, side="right") - 1
    inside = (begun >= 0) & (np.append(held.end_ns, 0)[begun] > launched)
    if inside.any() and (ops.kind[mine] != OpKind.ANNOTATION).any():
        return 1.0
    return float(inside.mean()) if len(inside) else 0.0


def _covering(graph: StepGraph, start: int, end: int) -> list[tuple[int, int]]:
    """(thread, row in Trace.names) of all that covers most of a wait, by start."""
    ops, spans = graph.trace.ops, graph.trace.spans
    covering: list[tuple[int, int, int]] = []
    for column, fits in ((ops, ops.kind != OpKind.AUTOGRAD), (spans, ~spans.profiler)):
        covered = np.minimum(column.end_ns, end) - np.maximum(column.start_ns, start)
        rows = np.flatnonzero(fits & (covered >= _MOST * (end - start)))
        covering += zip(column.start_ns[rows].tolist(), column.thread[rows].tolist(),
                     column.name[rows].tolist(), strict=True)  # fmt: skip
    return [(thread, name) for _, thread, name in sorted(covering)]


def _quoted(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:99]}…"


RULE = Rule(
    "host_work", __doc__ or "", find,
    title="The device waits while the host does something else than launching",
    action="Move it out of the step: to another thread or process, or every so many steps.",
    caveats=("where the next kernels need its result, it has to become faster instead",),
    docs="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)  # fmt: skip
