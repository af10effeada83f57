"""HTA over our columns against HTA over its own, and its figures against ours."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer import AnalyzeOptions, UsageError
from traceanalyzer.ranks.hta import by_rank
from traceanalyzer.trace import load_processes

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "hta.md"
SAMPLE = ROOT / "sample_traces" / "gpt_eager_cpu.json.gz"

# Of every kind of clock, maker and way to launch that HTA's own parser reads as it is.
ALIKE = [
    "train_recsys_a100_rank3of8", "infer_qwen_h100", "multi_stream_a100", "toy_mi250",
    "train_v100_float_epoch", "infer_bert_small_h100", "gpu_annotations_gp100",
]  # fmt: skip


@pytest.fixture(autouse=True)
def unrounded() -> Iterator[None]:
    """HTA's parser without its rounding, and without its log."""
    from hta.configs.env_options import HTAEnvOptions

    options, before = HTAEnvOptions.instance(), logging.root.manager.disable
    options.set_disable_ns_rounding(True)
    logging.disable(logging.CRITICAL)
    yield
    options.set_disable_ns_rounding(False)
    logging.disable(before)


def by_hta(file: Path, *, last_step: bool = True) -> Any:
    """Read by HTA itself."""
    from hta.trace_analysis import TraceAnalysis

    rank = next(iter(by_rank(load_processes(str(file)))))
    return TraceAnalysis({rank: str(file)}, "", include_last_profiler_step=last_step)


def whole(file: Path) -> traceanalyzer.Job:
    return traceanalyzer.analyze(file, steps="all")


def rank_of(analysis: Any) -> int:
    return next(iter(analysis.t.traces))


def temporal(analysis: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Idle, compute, other and whole time, in microseconds."""
    return analysis.get_temporal_breakdown(visualize=False).iloc[0, 1:5].to_numpy(np.float64)


@pytest.mark.parametrize("name", ALIKE)
def test_both_tables_give_the_same(name: str, real_traces: Path) -> None:
    file = real_traces / f"{name}.json.gz"
    theirs, ours = by_hta(file), whole(file).to_hta()
    rank = rank_of(ours)
    assert temporal(ours) == pytest.approx(temporal(theirs), abs=0.01)
    kinds = [each.get_gpu_kernel_breakdown(visualize=False)[0] for each in (ours, theirs)]
    assert dict(zip(kinds[0]["kernel_type"], kinds[0]["sum"], strict=True)) == pytest.approx(
        dict(zip(kinds[1]["kernel_type"], kinds[1]["sum"], strict=True)), abs=1
    )
    overlap = [each.get_comm_comp_overlap(visualize=False).iloc[0, 1] for each in (ours, theirs)]
    assert overlap[0] == pytest.approx(overlap[1], abs=0.01, nan_ok=True)
    launches = [each.get_cuda_kernel_launch_stats(visualize=False, ranks=[rank]) for each in (ours, theirs)]
    columns = ["cpu_duration", "gpu_duration", "launch_delay"]
    mine, other = (each[rank].sort_values("correlation")[columns].to_numpy(float) for each in launches)
    assert mine == pytest.approx(other, abs=0.01)


@pytest.mark.parametrize("name", [name for name in ALIKE if name != "multi_stream_a100"])
def test_its_figures_are_those_of_the_analysis(name: str, real_traces: Path) -> None:
    """Busy and idle time of the whole trace, and the sum of all kernels."""
    analysis = whole(real_traces / f"{name}.json.gz")
    hta = analysis.to_hta()
    idle, compute, other, all_of_it = temporal(hta)
    assert not analysis.ranks, "one table holds all devices of a process"
    assert idle * 1000 == pytest.approx(analysis.time.idle_ns, abs=10)
    assert (compute + other) * 1000 == pytest.approx(analysis.time.busy_ns, abs=10)
    assert all_of_it * 1000 == pytest.approx(analysis.window.window_ns, abs=10)
    table = hta.t.traces[rank_of(hta)]
    kernels = table[table["stream"].ne(-1)]
    assert kernels["dur"].sum() * 1000 == pytest.approx(analysis.time.kernel_sum_ns, abs=len(kernels))


def test_it_takes_a_wait_for_an_event_for_work(real_traces: Path) -> None:
    """One of 2 µs on a stream that runs nothing; our idle time holds it."""
    analysis = whole(real_traces / "multi_stream_a100.json.gz")
    assert analysis.time.idle_ns / 1000 - temporal(analysis.to_hta())[0] == 2


def test_its_parser_counts_triton_operators_as_kernels(real_traces: Path) -> None:
    """One of 1.76 µs is in the file; the row of the operator that launches it says which stream too."""
    file = real_traces / "triton_single_a100.json.gz"
    assert temporal(whole(file).to_hta())[3] == pytest.approx(1.76)
    assert temporal(by_hta(file))[3] == pytest.approx(95.812)


def test_its_parser_drops_the_last_step(real_traces: Path) -> None:
    file = real_traces / "train_recsys_a100_rank3of8.json.gz"
    ours, theirs = whole(file).to_hta(), by_hta(file, last_step=False)
    sums = [
        int(table[table["stream"].ne(-1)]["dur"].sum()) for table in (ours.t.traces[3], theirs.t.traces[3])
    ]
    assert sums == [501_567, 413_947]


def test_queue_lengths_and_idle_time_are_the_same(real_traces: Path) -> None:
    file = real_traces / "train_recsys_a100_rank3of8.json.gz"
    theirs, ours = by_hta(file), whole(file).to_hta()
    lengths = [each.get_queue_length_summary(ranks=[3]).to_numpy() for each in (ours, theirs)]
    # Of a launch and a kernel that begin in the same microsecond, HTA counts either first.
    assert lengths[0] == pytest.approx(lengths[1], abs=1)
    idle = [each.get_idle_time_breakdown(ranks=[3], visualize=False)[0] for each in (ours, theirs)]
    key = ["stream", "idle_category"]
    mine, other = (each.sort_values(key)["idle_time"].to_numpy(float) for each in idle)
    assert mine == pytest.approx(other, abs=1)


def test_ranks_keep_their_numbers_and_share_a_clock(tmp_path: Path) -> None:
    for rank, late_us in ((0, 0), (3, 5)):
        trace = Kineto(metadata={"distributedInfo": {"rank": rank}})
        trace.run("aten::mm", 100 + late_us, "gemm", 110 + late_us, 50.5)
        trace.write(tmp_path / f"rank{rank}.json")
    hta = traceanalyzer.analyze(tmp_path).to_hta()
    assert sorted(hta.t.traces) == [0, 3]
    assert [hta.t.traces[rank]["ts"].min() for rank in (0, 3)] == [0, 5]
    assert hta.get_temporal_breakdown(visualize=False)["kernel_time(us)"].tolist() == [50.5, 50.5]


def test_two_runs_can_be_compared(tmp_path: Path) -> None:
    """TraceDiff parses what it is given; ours says that it is parsed."""
    from hta.trace_diff import LabeledTrace, TraceDiff

    tables = []
    for name, kernels in (("a", 1), ("b", 2)):
        trace = Kineto()
        trace.annotation("ProfilerStep#1", 90, 300)
        for number in range(kernels):
            trace.run("aten::mm", 100 + 50 * number, "gemm", 110 + 50 * number, 20)
        tables.append(traceanalyzer.analyze(trace.write(tmp_path / f"{name}.json")).to_hta().t)
    base, head = (LabeledTrace(label=str(n), t=table) for n, table in enumerate(tables))
    compared = TraceDiff.compare_traces(base, head)
    assert int(compared.loc[compared.index.str.contains("gemm"), "diff_counts"].iloc[0]) == 1


def test_standard_input_cannot_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from traceanalyzer.ranks.hta import trace_analysis

    with pytest.raises(UsageError, match="standard input"):
        trace_analysis(("-",))


def test_the_path_is_no_longer_than_hta_s_own(real_traces: Path) -> None:
    """The same graph with HTA's weights has HTA's length."""
    from hta.analyzers.critical_path_analysis import CriticalPathAnalysis

    from traceanalyzer.ranks.longest_path import Dag

    table = whole(real_traces / "train_recsys_a100_rank3of8.json.gz").to_hta().t
    graph, _ = CriticalPathAnalysis.critical_path_analysis(table, 3, "ProfilerStep", 1)
    edges = [(begin, end, int(weight)) for begin, end, weight in graph.edges(data="weight")]
    dag = Dag(len(graph.node_list), [b for b, _, _ in edges], [e for _, e, _ in edges])
    nodes = graph.critical_path_nodes
    length = sum(int(graph.edges[u, v]["weight"]) for u, v in zip(nodes, nodes[1:], strict=False))
    assert dag.longest([w for _, _, w in edges]).length == length > 0


def test_the_snippet_in_the_docs_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = Kineto()
    trace.annotation("ProfilerStep#1", 90, 300)
    for number in range(3):
        trace.run("aten::mm", 100 + 50 * number, "gemm", 110 + 50 * number, 20)
    trace.write(tmp_path / "trace.json.gz")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, str(DOCS), "exec"), {})
    assert "queue_length" in capsys.readouterr().out


def test_the_path_changes_nothing_else_of_a_report(tmp_path: Path) -> None:
    """All that is in a report without the path is the same with it."""
    trace = Kineto()
    trace.run("aten::mm", 100, "gemm", 110, 20)
    file = trace.write(tmp_path / "t.json")
    plain = traceanalyzer.analyze(file, options=AnalyzeOptions(kernels=False))
    asked = traceanalyzer.analyze(file, options=AnalyzeOptions(kernels=False, critical_path=True))
    from traceanalyzer.report import render

    before, after = (json.loads(render(each, "json")) for each in (plain, asked))
    assert after.pop("critical_path") is not None and before.pop("critical_path") is None
    assert before == after
