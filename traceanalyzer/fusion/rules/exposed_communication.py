"""Seen: collectives run while no compute kernel does: the device waits for its peers or for the links.

Instead: first the other ranks' traces beside this one, which distinguish waiting for a slower rank from
moving bytes; then what overlaps or shortens them, by the kind that takes most. All-reduces of
DistributedDataParallel: larger or fewer buckets (`bucket_cap_mb`), `gradient_as_bucket_view`, `no_sync()`
while gradients are added up, gradients in half precision (`bf16_compress_hook`). All-gathers and
reduce-scatters of FSDP: prefetching forward, or more than one module ahead. All-to-alls, sends and receives,
and collectives of the script's own: `async_op=True`, with work that does not need them before the wait.

Saves: at most the time in which communication runs alone.

When not: the time is spent waiting for a slower rank: then that rank's work has to become faster.

Left out: communication that compute hides already; less than a tenth of busy time; more than 95 % of it,
where no compute is there to hide behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np

from traceanalyzer.fusion.rules.base import Match, Rule, everywhere
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.collectives import collective_name
from traceanalyzer.records.trace import Trace
from traceanalyzer.records.units import duration, percent

_SMALLEST_SHARE, _LARGEST_SHARE = 0.1, 0.95  # of busy time: beyond, no compute is there to hide behind
_ANCESTORS = 4  # of a link op, among which the collective's operator is looked for
_NAMED = 3  # kinds
_WORDS = {
    "all_reduce": "all-reduce", "all_gather": "all-gather", "reduce_scatter": "reduce-scatter",
    "all_to_all": "all-to-all", "send_recv": "send and receive", "recv": "receive",
}  # fmt: skip
# How what calls them names itself: torch/nn/parallel/distributed.py, torch/csrc/distributed/c10d/reducer.cpp,
# torch/distributed/fsdp/fully_sharded_data_parallel.py and _fully_shard/_fsdp_param_group.py there.
_DDP = ("DistributedDataParallel.", "torch::distributed::reducer", "torch.distributed.ddp.reducer")
_FSDP1, _FSDP2 = ("FullyShardedDataParallel.",), ("FSDP::",)
_DOCS = "https://docs.pytorch.org/docs/stable"


class _Advice(msgspec.Struct, frozen=True):
    action: str
    snippet: str
    docs: str


_OF_DDP = _Advice(
    "Tune the buckets of DistributedDataParallel, whose all-reduces overlap with the backward pass: another "
    "bucket_cap_mb, gradient_as_bucket_view=True, no_sync() while gradients are added up, and "
    "bf16_compress_hook, which halves the bytes of fp32 gradients.",
    "model = torch.nn.parallel.DistributedDataParallel(  # beside the arguments that it has\n"
    "    model, bucket_cap_mb=100, gradient_as_bucket_view=True\n)",
    f"{_DOCS}/generated/torch.nn.parallel.DistributedDataParallel.html",
)
_OF_FSDP1 = _Advice(
    "Let FullyShardedDataParallel prefetch forward too, forward_prefetch=True, where each forward pass runs "
    "the same modules in one order; limit_all_gathers=False where memory is left. The backward pass "
    "prefetches unless backward_prefetch was changed.",
    "from torch.distributed.fsdp import FullyShardedDataParallel\n\n"
    "model = FullyShardedDataParallel(  # beside the arguments that it has\n"
    "    model, device_id=device, forward_prefetch=True, limit_all_gathers=False\n)",
    f"{_DOCS}/fsdp.html",
)
_OF_FSDP2 = _Advice(
    "Let the modules of fully_shard prefetch two or more others each, for one is what they do anyway; and "
    "keep what is gathered for the backward pass (reshard_after_forward=False). Both take memory.",
    "for at, block in enumerate(blocks):  # in the order in which they run\n"
    "    block.set_modules_to_forward_prefetch(blocks[at + 1 : at + 3])\n"
    "    block.set_modules_to_backward_prefetch(blocks[max(0, at - 2) : at][::-1])",
    f"{_DOCS}/distributed.fsdp.fully_shard.html",
)
_OF_ALL_TO_ALL = _Advice(
    "Start all-to-alls with async_op=True, and wait for each where its result is needed: what does not need "
    "it can run meanwhile, such as dense layers, another part of the batch or of the experts.",
    "import torch.distributed as dist\n\n"
    "work = dist.all_to_all_single(received, sent, async_op=True)\n"
    "y = dense(x)  # what does not need it\n"
    "work.wait()",
    f"{_DOCS}/distributed.html#torch.distributed.all_to_all_single",
)
_OF_STAGES = _Advice(
    "Cut the batch into more microbatches, or interleave the stages: sends and receives of one microbatch "
    "then run beside the work of another.",
    "",
    f"{_DOCS}/distributed.pipelining.html",
)


def _of_the_script(call: str) -> _Advice:
    return _Advice(
        "Start collectives as soon as their input is there, with async_op=True, and wait for each where its "
        "result is needed; few large ones take less than many small ones.",
        f"import torch.distributed as dist\n\nwork = {call}\ny = f(z)  # what does not need it\nwork.wait()",
        f"{_DOCS}/distributed.html#synchronous-and-asynchronous-collective-operations",
    )


_OTHERS = _of_the_script("dist.all_reduce(x, async_op=True)")  # that no wrapper is seen to call
_OF_THE_SCRIPT = {
    "all_gather": _of_the_script("dist.all_gather_into_tensor(all_of_x, x, async_op=True)"),
    "reduce_scatter": _of_the_script("dist.reduce_scatter_tensor(part_of_x, x, async_op=True)"),
    "broadcast": _of_the_script("dist.broadcast(x, src=0, async_op=True)"),
}


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match, of no operators, where such time is a visible part of busy time."""
    alone = graph.judged.verdict_ns("communication")
    busy = graph.busy_ns
    if not alone or not _SMALLEST_SHARE * busy <= alone <= _LARGEST_SHARE * busy:
        return
    ns, kinds = alone / graph.step_count, _kinds(graph)
    evidence = f"collectives run alone for {duration(ns)} per step, {percent(alone / busy)} of busy time"
    named = [f"{_WORDS.get(name, name)} {duration(time / graph.step_count)}"
             for name, time in kinds.most_common(_NAMED) if name]  # fmt: skip
    evidence += f": {', '.join(named)}" if named else ""
    most = max(kinds, key=kinds.__getitem__, default="")
    advice = _advice(graph, most)
    if advice in (_OF_ALL_TO_ALL, _OF_STAGES):  # which change no others
        ns = kinds[most] / graph.step_count
    yield Match(
        (), "T3", saved=Band(0.0, ns, ns), evidence=evidence, where=everywhere(graph),
        action=advice.action, snippet=advice.snippet, docs=advice.docs,
    )  # fmt: skip


def _kinds(graph: StepGraph) -> Counter[str]:
    """Busy time of collectives by kind; "" where no name says which."""
    trace, times, kernels = graph.trace, graph.judged.times, graph.trace.kernels
    is_collective = np.array([row.verdict == "communication" for row in graph.judged.table], bool)
    kinds: Counter[str] = Counter()
    if not is_collective.any():
        return kinds
    kind_of: dict[tuple[int, int, int], str] = {}
    for record in np.flatnonzero(is_collective[times.row] & (times.attributed_ns > 0)).tolist():
        key = int(kernels.collective[record]), int(kernels.op[record]), int(kernels.name[record])
        if key not in kind_of:
            kind_of[key] = next(filter(None, map(collective_name, _names(trace, *key))), "")
        kinds[kind_of[key]] += int(times.attributed_ns[record])
    return kinds


def _names(trace: Trace, args_row: int, op: int, name: int) -> Iterator[str]:
    """What may say which collective a record is, the surest first: a kernel of NCCL does several."""
    if args_row >= 0:
        yield trace.collectives[args_row].name
    for _ in range(_ANCESTORS):
        if op < 0:
            break
        yield trace.names[trace.ops.name[op]]
        op = int(trace.ops.parent[op])
    yield trace.names[name]


def _advice(graph: StepGraph, collective: str) -> _Advice:
    """By the kind that takes most, and who calls it, as far as the trace names that."""
    if collective == "all_to_all":
        return _OF_ALL_TO_ALL
    if collective in ("send", "recv", "send_recv"):
        return _OF_STAGES
    if collective in ("all_gather", "reduce_scatter"):
        if graph.has_scope(lambda name: name.startswith(_FSDP1)):
            return _OF_FSDP1
        if graph.has_scope(lambda name: name.startswith(_FSDP2)):
            return _OF_FSDP2
    if collective == "all_reduce" and graph.has_scope(lambda name: name.startswith(_DDP)):
        return _OF_DDP
    return _OF_THE_SCRIPT.get(collective, _OTHERS)


RULE = Rule(
    "exposed_communication", __doc__ or "", find,
    title="Communication is not hidden behind compute",
    action=_OTHERS.action,
    caveats=("one rank's trace does not distinguish waiting for a slower rank from moving bytes: "
             "`traceanalyze report` of a folder with one trace a rank does",),
    needs=(),
    docs=_OTHERS.docs,
)  # fmt: skip
