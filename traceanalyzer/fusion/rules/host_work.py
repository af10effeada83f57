"""Seen: the device waits for over a millisecond at a time while the host launches nothing: it is inside one
annotation, operator or Python function, which the trace names.

Instead: what has that name made shorter, or done while the device works. Where whole words of the name say
what it is, more than that: an optimizer on the CPU, to the device; logging, every so many steps; an
evaluation, less often.

Saves: at most the time in which the device waits for what has that name.

When not: the next kernels need its result.

Left out: waits that no name covers; waits that another rule knows the remedy of, such as loading data,
compiling or compiled code; names of less than 2 % of the window; names of what itself launches the step's
work, such as a forward pass, a compiled region, an operator or an optimizer with kernels: something held it
up, and the trace does not show what; traces of a CPU, on which the host is the device. Where the trace names
no steps, no time is promised: it may be what comes once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from traceanalyzer.fusion.host_remedies import Remedy, remedy_of, without_words
from traceanalyzer.fusion.idle_claims import covering_names, idle_claims
from traceanalyzer.fusion.rules.base import Match, Rule, wait_evidence, waiting
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records.trace import OpKind, RecordKind
from traceanalyzer.roofline.intervals import disjoint

_WAIT_SHARE = 0.02  # of the window
_MAX_NAMES = 3  # names


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, for each name that is a visible part of the window."""
    if not graph.on_gpu:
        return
    ns, idle, names = idle_claims(graph).ns("host_work"), graph.judged.idle, graph.trace.names
    waited = np.zeros(len(names) + 1, np.int64)
    np.add.at(waited, idle.name, ns)  # -1 is the last entry
    for row in np.argsort(-waited[:-1], kind="stable")[:_MAX_NAMES].tolist():
        share = int(waited[row]) / max(1, graph.window_ns)
        if share < _WAIT_SHARE:
            return
        each = int(waited[row]) / graph.step_count
        longest = int(np.argmax(np.where(idle.name == row, ns, 0)))
        remedy, why = _remedy(graph, row, int(idle.start_ns[longest]), int(idle.end_ns[longest]))
        if _launched_share(graph, row) > remedy.launched_share:
            continue
        action = remedy.action.format(name=_quoted(names[row]))
        evidence = f"{wait_evidence(graph, each, share)}, while the host is in {names[row]}{why}"
        yield waiting(graph, each, evidence, where=names[row], action=action,
                      snippet=remedy.snippet, again=graph.has_steps)  # fmt: skip


def _remedy(graph: StepGraph, row: int, start: int, end: int) -> tuple[Remedy, str]:
    """What its name, or that of a function inside, asks for; and what another thread does meanwhile."""
    names, covering = graph.trace.names, covering_names(graph, start, end)
    named = [at for at, (_, name) in enumerate(covering) if name == row]
    threads = {covering[at][0] for at in named}
    inside = [name for thread, name in covering[named[0] + 1 :] if thread in threads] if named else []
    for name in (row, *reversed(inside)):
        remedy = remedy_of(names[name])
        if remedy is not None:
            others = [names[name] for thread, name in covering if thread not in threads]
            meanwhile = remedy.of_lock and others
            return remedy, f"; meanwhile another thread is in {others[-1]}" if meanwhile else ""
    return without_words(names[row]), ""


def _launched_share(graph: StepGraph, row: int) -> float:
    """Of all kernels, those that are launched within what has this name; of an operator, one is all."""
    ops, spans, kernels = graph.trace.ops, graph.trace.spans, graph.trace.kernels
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


def _quoted(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:99]}…"


RULE = Rule(
    "host_work", __doc__ or "", find,
    title="The device waits while the host does something else than launching",
    action="See what the host does meanwhile: it has to become shorter, or to run while the device works.",
    caveats=("where the next kernels need its result, it has to become faster",),
    needs=("gpu", "launches"),
    docs="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)  # fmt: skip
