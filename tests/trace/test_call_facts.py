"""What is told of calls by their text alone is what their parsed form says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.files import loaded
from tests.project.tree import ROOT
from traceanalyzer.records.call_facts import CallFacts, call_facts

SAMPLES = sorted((ROOT / "sample_traces").glob("*.json.gz"))


def same(path: Path) -> None:
    calls = loaded(str(path)).calls
    told, parsed = call_facts(calls), call_facts(list(calls))
    assert list(told.name) == list(parsed.name)
    for name in CallFacts.__struct_fields__[1:]:
        assert getattr(told, name).tolist() == getattr(parsed, name).tolist(), name


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_of_samples(path: Path) -> None:
    same(path)


def test_of_real_traces(real_traces: Path) -> None:
    for name in ("train_resnet50_v100_torch19", "infer_moe_b200_rank0of8", "triton_toy_mi300x", "toy_mi250"):
        same(real_traces / f"{name}.json.gz")
