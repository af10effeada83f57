"""What holds for every suggestion, on every real trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline import real
from traceanalyzer.fusion.savings import WIDEST
from traceanalyzer.fusion.suggestions import applied
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import step_graph_of
from traceanalyzer.records import Analysis, Suggestion


def check(told: Suggestion) -> None:
    band = told.saving_per_step_ns
    assert told.title and told.action and told.evidence and told.where is not None and told.count > 0
    if band is None:
        assert told.share_of_step is None
        return
    assert 0 <= band.low <= band.mid <= band.high
    if told.tier == "T3":
        assert band.low == 0, "what is not proved may save nothing"
    else:
        assert band.high <= WIDEST * band.low * (1 + 1e-9)


def check_all(analysis: Analysis) -> None:
    for told in analysis.suggestions or ():
        check(told)
    bands = [told.saving_per_step_ns for told in analysis.suggestions or ()]
    mids = [band.mid if band else -1 for band in bands]
    assert mids == sorted(mids, reverse=True)


def test_suggestions_of_real_traces(real_traces: Path) -> None:
    for file in real.files(real_traces):
        check_all(real.analyzed(file))


@pytest.mark.parametrize("name", ["infer_qwen_h100", "infer_sam_a100_large", "train_resnet50_v100_torch19"])
def test_no_kernel_is_claimed_twice_and_none_saves_more_than_it_takes(real_traces: Path, name: str) -> None:
    step = step_graph_of(str(real_traces / f"{name}.json.gz"), AnalyzeOptions())
    assert step is not None
    places = [node.place for _, found in applied(step) for match in found for node in match.nodes]
    assert places and len(places) == len(set(places))
    for _, found in applied(step):
        for match in found:
            time = sum(node.time_ns for node in match.nodes)
            assert match.saved is None or not match.nodes or match.saved.high <= time
            assert match.after is None or match.after.bytes <= sum(node.bytes for node in match.nodes)


def test_what_is_compiled_gets_no_advice_to_compile(real_traces: Path) -> None:
    analysis = real.analyzed(real_traces / "train_gpt_compiled_h100_rank0of8.json.gz")
    rules = {told.rule for told in analysis.suggestions or ()}
    assert not rules & {"pointwise_chain", "rms_norm", "unfused_attention", "fused_optimizer"}
