"""Collectives that nothing hides, on verdicts written by hand."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tests.fusion.scenes import annotation, op, scene
from traceanalyzer.fusion.rules import Match, rule_named
from traceanalyzer.fusion.step_graph import Free

RULE = rule_named("exposed_communication")
assert RULE is not None
FIND = RULE.find


@pytest.mark.left_out
@pytest.mark.parametrize(
    "share, seen", [(0.5, True), (0.11, True), (0.09, False), (0.0, False), (1.0, False)]
)
def test_what_runs_alone_is_the_most_that_is_saved(share: float, seen: bool) -> None:
    graph = scene(op("exp", (4096, 4096)), steps=2)
    alone = int(share * graph.busy_ns)
    row = msgspec.structs.replace(graph.rows[0], verdict="communication", attributed_ns=alone)
    matches = list(FIND(replace(graph, judged=replace(graph.judged, rows=(row,))), Free()))
    assert bool(matches) is seen
    for match in matches:
        assert match.saved is not None and (match.saved.low, match.saved.high) == (0, alone / 2)
        assert match.tier == "T3" and not match.nodes
        assert "per step, " in match.evidence and "% of busy time" in match.evidence


def waited_for(*kernels: tuple[str, int], called: str = "", within: str = "") -> Match:
    """The match of a step of arithmetic, and of kernels of collectives of so many ns below these names."""
    each = [op(called or "c10d::work", (4,), kernels=(kernel,)) for kernel in kernels]
    around = [annotation(within, *each)] if within else each
    graph = scene(op("exp", (4096, 4096), kernels=(("k", 1_000_000),)), *around, steps=2)
    (match,) = FIND(graph, Free())
    return match


NCCL = "ncclDevKernel_{}_RING_LL(ncclDevKernelArgsStorage<4096ul>)"


@pytest.mark.parametrize(
    ("kernel", "called", "within", "argument", "link"),
    [
        ("AllReduce_Sum_f32", "", "DistributedDataParallel.forward", "bucket_cap_mb", "DataParallel.html"),
        ("AllReduce_Sum_f32", "", "", "async_op=True", "/distributed.html"),
        ("AllGather", "", "FSDP::all_gather", "set_modules_to_forward_prefetch", "fully_shard"),
        ("ReduceScatter_Sum_bf16", "", "FullyShardedDataParallel.forward", "forward_prefetch", "/fsdp.html"),
        ("ReduceScatter_Sum_f32", "", "DistributedDataParallel.forward", "async_op=True", "distributed.html"),
        ("SendRecv", "c10d::alltoall_base_", "", "all_to_all_single", "all_to_all_single"),
        ("SendRecv", "c10d::send", "", "", "pipelining"),
        ("Generic", "c10d::allreduce_", "DistributedDataParallel.forward", "bucket_cap_mb", "Distributed"),
    ],
)  # fmt: skip
def test_the_advice_is_for_the_collectives_that_take_the_time(
    kernel: str, called: str, within: str, argument: str, link: str
) -> None:
    """What calls them is named as PyTorch names it; what nothing names is the script's."""
    match = waited_for((NCCL.format(kernel), 600_000), called=called, within=within)
    assert argument in match.snippet
    assert link in match.docs
    if "DistributedDataParallel" not in within:
        assert "DistributedDataParallel" not in match.action + match.snippet


def test_the_kind_that_takes_most_decides_and_the_others_are_named() -> None:
    match = waited_for((NCCL.format("AllReduce_Sum_f32"), 100_000), (NCCL.format("AllGather"), 500_000),
                       within="DistributedDataParallel.forward")  # fmt: skip
    assert "bucket_cap_mb" not in match.snippet
    assert match.evidence.endswith("busy time: all-gather 500 µs, all-reduce 100 µs")
