"""In which part of a trace suggestions are looked for; no size makes them cost more than in proportion."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks.tile import tile
from tests.project.tree import ROOT
from traceanalyzer.cost import Formulas
from traceanalyzer.fusion import stretch
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.fusion.step_graph import step_graph
from traceanalyzer.fusion.stretch import period_of
from traceanalyzer.fusion.suggestions import applied, suggestions
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import Setup, judge_file
from traceanalyzer.records.judged import Judged

SAMPLE = ROOT / "sample_traces" / "convnet_eager_cpu.json.gz"


def smallest_period(calls: list[int]) -> int | None:
    """The slow twin: the first distance at which 98 of 100 entries are the same again."""
    for period in range(1, len(calls)):
        pairs = list(zip(calls, calls[period:], strict=False))
        if sum(a == b for a, b in pairs) >= 0.98 * len(pairs):
            return period
    return None


@pytest.mark.parametrize("copies", [2, 3, 7])
@pytest.mark.parametrize("odd", [0, 1])
def test_the_period_is_the_smallest_distance_that_repeats(copies: int, odd: int) -> None:
    random = np.random.default_rng(copies)
    once = random.integers(0, 40, 150)
    calls = np.tile(once, copies).astype(np.int32)
    calls[random.integers(0, len(calls), odd)] = 99  # a logged step, another branch
    assert period_of(calls) == smallest_period(calls.tolist()) == 150


def test_what_does_not_repeat_has_no_period() -> None:
    assert period_of(np.random.default_rng(0).integers(0, 1000, 2000).astype(np.int32)) is None
    assert period_of(np.arange(50, dtype=np.int32)) is None


def without_steps(folder: Path, copies: int) -> Path:
    """A recorded training, as often as that, and nothing that says where a step begins."""
    document = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    document.pop("traceanalyzeEvidence", None)
    document["traceEvents"] = [
        event for event in document["traceEvents"] if "ProfilerStep" not in str(event.get("name"))
    ]
    once = folder / "once.json"
    once.write_text(json.dumps(document))
    target = folder / f"{copies}.json"
    made = tile(str(once), target, copies * once.stat().st_size)
    assert made == copies
    return target


class Counting(Formulas):
    """Formulas that say how often they are asked for a price."""

    def __init__(self) -> None:
        super().__init__()
        self.priced = 0

    def price(self, call):  # type: ignore[no-untyped-def]
        self.priced += 1
        return super().price(call)


def looked_at(folder: Path, copies: int) -> tuple[Counter[str], Judged]:
    """How many calls were priced, rules run, nodes looked at and matches found."""
    formulas = Counting()
    setup = replace(Setup.of(AnalyzeOptions()), formulas=formulas)
    (judged,) = judge_file(str(without_steps(folder, copies)), setup)
    graph = step_graph(judged)
    assert graph is not None
    found = list(applied(graph))
    counted = Counter(
        priced=formulas.priced,
        rules=len(found),
        nodes=len(graph.nodes),
        matches=sum(len(matches) for _, matches in found),
    )
    return counted, judged


def test_advice_costs_no_more_than_in_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, judged = looked_at(tmp_path, 1)
    assert one["matches"] and one["rules"] == len(RULES)
    monkeypatch.setattr(stretch, "_MAX_OPERATORS", 2 * one["nodes"])
    monkeypatch.setattr(stretch, "_MIN_OPERATORS", one["nodes"])
    for copies in (2, 4):
        counted, _ = looked_at(tmp_path, copies)
        assert counted["priced"] == one["priced"], "the same calls, however often they are made"
        assert counted["rules"] == one["rules"]
        assert counted["nodes"] <= copies * one["nodes"] + copies
        assert counted["matches"] <= copies * one["matches"] + copies


def test_one_period_says_what_all_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within what one copy in eight may differ at its ends."""
    _, whole = looked_at(tmp_path, 8)
    graph = step_graph(whole)
    assert graph is not None and graph.stretch.repeats == 1
    every = {one.rule: one for one in suggestions(graph).found or ()}
    monkeypatch.setattr(stretch, "_MAX_OPERATORS", len(graph.nodes) // 2)
    monkeypatch.setattr(stretch, "_MIN_OPERATORS", 1)
    part = step_graph(whole)
    assert part is not None and part.stretch.note and len(part.nodes) < len(graph.nodes) / 2
    sampled = {one.rule: one for one in suggestions(part).found or ()}
    assert set(sampled) == set(every)
    for rule, one in sampled.items():
        band, known = one.saving_per_step_ns, every[rule].saving_per_step_ns
        if band is not None and known is not None:
            assert band.mid == pytest.approx(known.mid, rel=0.25)
            assert band.high <= whole.window_ns
        assert any("operators" in caveat for caveat in one.caveats)
