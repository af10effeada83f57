"""Busy time by module: each record's in the innermost module that its operator or its launch was in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Literal

import msgspec
import numpy as np

from traceanalyzer.assembly.layer_names import joint_names
from traceanalyzer.records import VERDICTS
from traceanalyzer.records.code import ModuleTime, VerdictTime
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.trace import UNLINKED, Ids, Ints, OpKind, Trace, distinct

_LISTED = 5000  # modules of which each has an entry of its own
_BACKWARD = 1  # in Ops.phase
How = Literal["annotation", "stack"]


class _Module(msgspec.Struct, eq=False):
    """One entry as it is added up."""

    path: str
    class_name: str | None
    how: How
    outer: _Module | None
    depth: int
    instances: int = 0
    calls: int = 0
    self_ns: Ints = msgspec.field(default_factory=lambda: np.zeros(len(VERDICTS), np.int64))  # by verdict
    inclusive_ns: int = 0

    def around(self) -> Iterator[_Module]:
        """The modules that it is in, from the inside."""
        outer = self.outer
        while outer is not None:
            yield outer
            outer = outer.outer

    def is_in(self, other: _Module) -> bool:
        """Whether it is that one, or a part of it."""
        return self is other or any(outer is other for outer in self.around())


def module_times(judged: Judged, frame: Ids) -> tuple[ModuleTime, ...] | None:
    """Modules before those inside them, the longest first; None where the trace names none.

    `frame`: of each record the row in Trace.frames that it belongs to.
    """
    trace = judged.priced.trace
    annotated = _annotated(trace)
    path = trace.frames.paths_at(frame)
    modules = _by_annotation(judged, annotated, path) | _by_stack(judged, frame, annotated < 0)
    if not modules and not len(trace.frames.paths):
        return None
    number = np.where(annotated >= 0, annotated, np.where(path >= 0, path + len(trace.names), -1))
    outside = np.zeros(len(VERDICTS), np.int64)
    for row, times in times_by_verdict(judged, number):
        if row in modules:
            modules[row].self_ns += times
        else:
            outside += times
    every = {id(module): module for module in modules.values()}
    return tuple(_listed(list(every.values()), outside))


def times_by_verdict(judged: Judged, number: Ids | Ints) -> Iterator[tuple[int, Ints]]:
    """Attributed time by verdict of the records of each number, ascending."""
    verdict = np.array([VERDICTS.index(row.verdict) for row in judged.table], np.int64)
    if not len(verdict):
        return
    rows = distinct(number)
    total = np.zeros((len(rows), len(VERDICTS)), np.int64)
    times = judged.times
    np.add.at(total, (np.searchsorted(rows, number), verdict[times.row]), times.attributed_ns)
    yield from zip(rows.tolist(), total, strict=True)


def verdict_times(times: Ints) -> tuple[VerdictTime, ...]:
    """Those verdicts that have any."""
    return tuple(VerdictTime(v, int(ns)) for v, ns in zip(VERDICTS, times, strict=True) if ns)


def _annotated(trace: Trace) -> Ids:
    """Of each record the name of its operator's module, a row in Trace.names; -1."""
    module = np.append(trace.ops.module, np.int32(-1))[trace.kernels.op]
    module[trace.kernels.unlinked == UNLINKED.index("cuda_graph")] = -1
    return module


def _by_annotation(judged: Judged, annotated: Ids, path: Ids) -> dict[int, _Module]:
    """One for each name in use; names of layers that are built alike share one."""
    trace = judged.priced.trace
    used = distinct(trace.ops.module)
    names = {row: trace.names[row] for row in used.tolist() if row >= 0}
    joint, callers = joint_names(_operators(trace, names)), _callers(trace)
    classes, calls = _classes(judged, annotated, path), _calls_by_annotation(judged)
    by_label: dict[str, _Module] = {}
    modules = {}
    for row, name in sorted(names.items(), key=lambda item: item[1].count(".")):
        label = joint[name]
        if label not in by_label:
            by_label[label] = _Module(label, None, "annotation", _round(label, by_label), 0)
        module = modules[row] = by_label[label]
        module.instances += 1
        module.calls += calls.get(row, 0)
        module.class_name = module.class_name or classes.get(row)
    for row, module in modules.items():
        caller = modules.get(callers.get(row, -1))
        if module.outer is None and caller is not None and not caller.is_in(module):
            module.outer = caller
    for module in modules.values():
        module.depth = sum(1 for _ in module.around())
    return modules


def _operators(trace: Trace, names: Mapping[int, str]) -> dict[str, frozenset[int]]:
    """The operators of the forward pass in each named module, as rows of Trace.names."""
    ops = trace.ops
    forward = (ops.module >= 0) & (ops.kind == OpKind.OP) & (ops.phase <= 0)
    inside: dict[int, set[int]] = {}
    pairs = distinct(ops.module[forward] * np.int64(len(trace.names)) + ops.name[forward])
    for module, name in map(divmod, pairs.tolist(), repeat(len(trace.names))):
        inside.setdefault(module, set()).add(name)
    return {name: frozenset(inside.get(row, ())) for row, name in names.items()}


def _callers(trace: Trace) -> dict[int, int]:
    """Of each named module another one in which it was called, both as rows of Trace.names."""
    ops, module = trace.ops, trace.ops.module
    around = np.append(module, np.int32(-1))[ops.parent]
    called = np.flatnonzero((module >= 0) & (around >= 0) & (module != around))[::-1]
    return dict(zip(module[called].tolist(), around[called].tolist(), strict=True))


def _round(label: str, by_label: dict[str, _Module]) -> _Module | None:
    """The module that holds it: containers that are never called have no name of their own."""
    while "." in label:
        label = label.rpartition(".")[0]
        if label in by_label:
            return by_label[label]
    return None


def _classes(judged: Judged, annotated: Ids, path: Ids) -> dict[int, str]:
    """Class of each named module that a stack shows too: of the innermost module in most of its time."""
    both = np.flatnonzero((annotated >= 0) & (path >= 0))
    order = both[np.argsort(judged.times.attributed_ns[both], kind="stable")]
    pairs = zip(annotated[order].tolist(), path[order].tolist(), strict=True)
    return {row: judged.priced.trace.frames.paths[at].class_name for row, at in pairs}


def _calls_by_annotation(judged: Judged) -> dict[int, int]:
    """How often each named module was called in the window, by its annotations or else its operators."""
    trace = judged.priced.trace
    ops, module = trace.ops, trace.ops.module
    around = np.append(module, np.int32(-1))[ops.parent]
    entered = (module >= 0) & (module != around) & (ops.phase != _BACKWARD)
    scopes = entered & (ops.kind == OpKind.ANNOTATION)
    entered = scopes if scopes.any() else entered
    steps = judged.window.steps
    if steps:
        entered &= (ops.start_ns >= steps[0].start_ns) & (ops.start_ns < steps[-1].end_ns)
    rows, counts = np.unique(module[entered], return_counts=True)
    return dict(zip(rows.tolist(), counts.tolist(), strict=True))


def _by_stack(judged: Judged, frame: Ids, unnamed: np.ndarray) -> dict[int, _Module]:
    """Of records that no annotation places; the key is the row in Frames.paths behind all names."""
    trace = judged.priced.trace
    frames, first = trace.frames, len(trace.names)
    working = judged.times.inside & unnamed & (frame >= 0)
    innermost = np.append(frames.call, np.int32(-1))[frame[working]]
    calls = _with_outer(distinct(innermost), frames.outer_call)
    paths, counts = np.unique(frames.path[calls], return_counts=True)
    pairs = np.unique(np.stack((frames.path[calls], frames.name[calls])), axis=1)
    instances = dict(zip(*np.unique(pairs[0], return_counts=True), strict=True))
    modules: dict[int, _Module] = {}
    calls_of = dict(zip(paths.tolist(), counts.tolist(), strict=True))
    parents = np.array([each.parent for each in frames.paths], np.int32)
    for path in _with_outer(paths, parents).tolist():  # outer before inner
        class_path = frames.paths[path]
        outer = modules.get(class_path.parent + first) if class_path.parent >= 0 else None
        modules[path + first] = _Module(
            class_path.path, class_path.class_name, "stack", outer, outer.depth + 1 if outer else 0,
            int(instances.get(path, 1)), calls_of.get(path, 0),
        )  # fmt: skip
    return modules


def _with_outer(rows: Ids, outer: Ids) -> Ids:
    """These rows and all round them, -1 apart."""
    every = [rows[rows >= 0]]
    while len(every[-1]):
        above = distinct(outer[every[-1]])
        every.append(above[above >= 0])
    return distinct(np.concatenate(every))


def _listed(modules: Sequence[_Module], outside: Ints) -> Iterator[ModuleTime]:
    """What is too little for an entry of its own counts for the module round it."""
    for module in modules:
        total = int(module.self_ns.sum())
        for each in (module, *module.around()):
            each.inclusive_ns += total
    worked = [module for module in modules if module.inclusive_ns or module.calls]
    ordered = sorted(worked, key=lambda module: (-module.inclusive_ns, module.depth))
    kept = {id(module) for module in ordered[:_LISTED]}
    for module in ordered[_LISTED:]:
        into = next((outer.self_ns for outer in module.around() if id(outer) in kept), outside)
        into += module.self_ns
    inside: dict[int, list[_Module]] = {}
    for module in ordered[:_LISTED]:
        inside.setdefault(id(module.outer), []).append(module)
    left = inside.get(id(None), [])[::-1]
    while left:
        module = left.pop()
        yield _entry(module)
        left += inside.get(id(module), [])[::-1]
    if outside.any() or not ordered:
        yield ModuleTime(
            path=None, class_name=None, parent=None, repeat=1, calls=0, self_ns=int(outside.sum()),
            inclusive_ns=int(outside.sum()), verdicts=verdict_times(outside), how=None,
        )  # fmt: skip


def _entry(module: _Module) -> ModuleTime:
    return ModuleTime(
        path=module.path, class_name=module.class_name, parent=module.outer.path if module.outer else None,
        repeat=module.instances, calls=module.calls, self_ns=int(module.self_ns.sum()),
        inclusive_ns=module.inclusive_ns, verdicts=verdict_times(module.self_ns), how=module.how,
    )  # fmt: skip
