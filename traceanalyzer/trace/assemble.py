"""Rows of one file, linked: `Raw` in, `Trace` out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from traceanalyzer.columns import Ids, OpKind, Ops, Pieces, Trace
from traceanalyzer.errors import TraceFormatError
from traceanalyzer.trace.host import host_records
from traceanalyzer.trace.kinds import kinds
from traceanalyzer.trace.link import link, linked_kernels, sorted_launches
from traceanalyzer.trace.oddities import oddities
from traceanalyzer.trace.phases import Host, forward_ops, phases
from traceanalyzer.trace.raw import Raw, RawOps
from traceanalyzer.trace.steps import step_warnings, steps_of
from traceanalyzer.trace.tree import nearest, nest, order

_RESOLUTION_NS = 1000  # of clocks that count whole microseconds, or doubles since 1970
_COARSE = ("integer_us", "integer_us_capitalised", "float_epoch")


def assemble(raw: Raw) -> Trace:
    """Nest the ops, link the records to them, find phases and steps.

    Without GPU activity the operators' own times are the records. Raises TraceFormatError where there
    are no operators either.
    """
    tolerance_ns = _RESOLUTION_NS if raw.integer_us or raw.dialect in _COARSE else 0
    rows = _sorted(raw.ops)
    ops, forward = _ops(raw, rows, tolerance_ns)
    steps = steps_of(raw.names, rows)
    launches = sorted_launches(raw.launches)
    on_cpu = not len(raw.kernels.start_ns)
    pieces: Pieces | None = None
    if on_cpu:
        kernels, pieces = host_records(raw.names, ops)
        if not len(kernels):
            raise TraceFormatError(
                f"{raw.path}: holds neither operators nor GPU activity",
                fix="profile with ProfilerActivity.CPU and that of the accelerator, around the work itself",
            )
    else:
        links = link(raw.names, ops, rows.external, launches, raw.kernels, tolerance_ns)
        kernels = linked_kernels(raw.names, raw.kernels, launches, links)
    trace = Trace(
        path=raw.path, bytes=raw.bytes, events=raw.events, dialect=raw.dialect, names=raw.names,
        calls=raw.calls, ops=ops, launches=launches, kernels=kernels, pieces=pieces, steps=steps,
        devices=raw.devices, rank=raw.rank, on_cpu=on_cpu, base_ns=raw.base_ns, amd=raw.amd,
        recording=raw.recording, salvaged=raw.salvaged,
    )  # fmt: skip
    warnings = (*raw.warnings, *oddities(trace, gpu_listed=raw.gpu_listed), *step_warnings(steps))
    return replace(trace, warnings=warnings)


def _sorted(raw: RawOps) -> RawOps:
    rows = order(raw.thread, raw.start_ns, raw.end_ns)
    return RawOps(*(getattr(raw, name)[rows] for name in RawOps.__dataclass_fields__))


def _ops(raw: Raw, rows: RawOps, tolerance_ns: int) -> tuple[Ops, Ids]:
    """The finished table of `rows`, which are in order; and the forward op of each backward node."""
    nesting = nest(rows.thread, rows.start_ns, rows.end_ns, rows.annotation, tolerance_ns)
    kind = kinds(raw.names, rows.name, rows.annotation)
    numbered = (rows.sequence >= 0) & (rows.forward_thread <= 0)
    numbered &= (kind == OpKind.OP) | (kind == OpKind.COMPILED)
    host = Host(
        raw.names, rows.start_ns, rows.name, kind, rows.thread, nesting.parent, rows.sequence, numbered
    )
    forward = forward_ops(host)
    ops = Ops(
        start_ns=rows.start_ns, end_ns=nesting.end_ns, name=rows.name, kind=kind, thread=rows.thread,
        parent=nesting.parent, call=rows.call, phase=phases(host, forward),
        module=_modules(rows.module, nesting.parent, forward), sequence=rows.sequence,
    )  # fmt: skip
    return ops, forward


def _modules(module: Ids, parent: Ids, forward: Ids) -> Ids:
    """Dotted module names, handed down to the ops inside; a backward node has its forward op's."""
    if not (module >= 0).any():
        return module
    module = _handed_down(module, parent)
    answers = (module < 0) & (forward >= 0)
    module[answers] = module[forward[answers]]
    return _handed_down(module, parent)


def _handed_down(value: Ids, parent: Ids) -> Ids:
    return np.append(value, np.int32(-1))[nearest(parent, value >= 0)]


