"""Arguments of collectives as they are recorded, whole, cut short, damaged; a real job by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.kineto import Kineto
from tests.ranks.made import Collective, Product, run, write
from traceanalyzer import analyze
from traceanalyzer.assembly.activity import collective_name
from traceanalyzer.trace.reading.collectives import members

REAL = os.environ.get("TRACEANALYZER_REAL_TRACES")


@pytest.mark.parametrize(
    ("ranks", "size", "expected"),
    [
        ("[0, 1, 2, 3]", 4, (0, 1, 2, 3)),
        ([4, 6], None, (4, 6)),
        ("[0, 1, 2, 3]", 8, None),
        ("[0, 2, ..., 62]", 32, tuple(range(0, 64, 2))),
        ("[0, 2, ..., 62]", 33, None),
        ("[0, 1, 4, ..., 62]", 32, None),
        ("[0, ..., 62]", 32, None),
        ("", 4, None),
        (None, 4, None),
        (7, 4, None),
    ],
)
def test_members_of_a_group(ranks: Any, size: int | None, expected: tuple[int, ...] | None) -> None:
    assert members(ranks, size) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ncclDevKernel_AllReduce_Sum_f16_RING_LL(ncclDevComm*)", "all_reduce"),
        ("_allgather_base", "all_gather"), ("c10d::_reduce_scatter_base_", "reduce_scatter"),
        ("all_to_allv", "all_to_all"), ("c10d::alltoall_base_", "all_to_all"),
        ("nccl:broadcast", "broadcast"),
        ("ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)", "send_recv"), ("recv", "recv"),
        ("multimem_all_reduce_kernel", "all_reduce"), ("ncclDevKernel_Generic(x)", None),
    ],
)  # fmt: skip
def test_one_name_for_every_spelling(text: str, name: str | None) -> None:
    assert collective_name(text) == name


@pytest.mark.parametrize("key", ["Seq", "Process Group Ranks", "In msg nelems", "dtype", "Group size",
                                 "Process Group Name", "Src Rank"])  # fmt: skip
@pytest.mark.parametrize("value", [None, [], {}, -3, 1e300, "x", "9" * 400, [[["a"]]], True])
def test_damaged_arguments_count_as_absent(tmp_path: Path, key: str, value: Any) -> None:
    """Whatever stands there, the report arrives, and a job's ranks are compared or it is said why not."""
    done, _ = run(2, 2, lambda rank, step: [Product(500 + 90 * rank), Collective("all_reduce", (0, 1), 50)])
    folder = write(tmp_path / "job", done)
    for path in folder.iterdir():
        trace = json.loads(path.read_text())
        for event in trace["traceEvents"]:
            if "Collective name" in event["args"]:
                event["args"][key] = value
        path.write_text(json.dumps(trace))
    job = analyze(folder)
    assert job.job is not None and job.job.reason
    assert not [w for w in job.source.warnings if w.code == "ranks_not_compared"]


def test_ranks_without_a_gpu(tmp_path: Path) -> None:
    """Of a CPU's job nothing is matched, and it is said."""
    for rank in range(2):
        trace = Kineto(device=None, metadata={"distributedInfo": {"rank": rank, "world_size": 2}})
        trace.op("aten::mm", 0, 500, ([64, 64], "float"), ([64, 64], "float"))
        trace.annotation("gloo:all_reduce", 510, 200)
        trace.op("c10d::allreduce_", 505, 300, ([64], "float"))
        trace.write(tmp_path / f"rank{rank}.json")
    job = analyze(tmp_path)
    assert job.job is not None and job.job.straggler_rank is None and "not known" in job.job.reason
    assert [each.waited_ns for each in job.job.ranks] == [None, None]


@pytest.mark.skipif(REAL is None, reason="TRACEANALYZER_REAL_TRACES is not set")
def test_tensor_parallel_training_of_eight(tmp_path: Path) -> None:
    """Megatron on eight A100: rank 0 is waited for, with 6 next; counted from the starts of the kernels."""
    job = analyze(Path(REAL or "") / "train_megatron_tp8_a100")
    assert job.job is not None and job.job.straggler_rank == 0 and "rank 6" in job.job.reason
    waited = {each.rank: (each.waited_ns or 0) / 1e6 for each in job.job.ranks}
    assert waited[0] == pytest.approx(191, abs=5) and waited[6] == pytest.approx(214, abs=5)
    assert all(358 <= ms <= 450 for rank, ms in waited.items() if rank not in (0, 6))
    (only,) = job.job.collectives
    last = {each.rank: each.calls for each in only.last}
    assert only.calls == 84 and abs(last[0] - 32) <= 4 and abs(last[6] - 28) <= 4
