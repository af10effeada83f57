"""How often what a tier proves is true, by what really read what, on six kinds of models."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.files import loaded
from tests.fusion.models import MODELS
from tests.fusion.witness import MARK
from traceanalyzer.cost.price import price
from traceanalyzer.fusion.evidence.dataflow import Tier, dataflow
from traceanalyzer.records.trace import Trace

RUNS = [(name, kind) for kind in ("training", "inference") for name in MODELS]
SCRIPT = Path(__file__).with_name("models.py")
WITNESS = Path(__file__).with_name("witness.py")
PROFILE = (sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--no-roofs", "--active", "1")


def wilson(true: int, count: int) -> float:
    """Lower end of the 95 % interval of a share (E. B. Wilson, 1927)."""
    z, p = 1.96, true / count
    return (p + z * z / (2 * count) - z * sqrt(p * (1 - p) / count + z * z / (4 * count * count))) / (
        1 + z * z / count
    )


@dataclass
class Told:
    """Edges that one tier tells of, over all runs, and those of the executed step that it misses."""

    true: int = 0
    false: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: int = 0  # of the edges that are so, those that this tier or a surer one tells
    truths: int = 0

    @property
    def count(self) -> int:
        return self.true + self.false.total()

    def add(self, said: set[tuple[int, int]], truth: set[tuple[int, int]], names: list[str]) -> None:
        self.true += len(said & truth)
        self.false.update((names[a], names[b]) for a, b in said - truth)

    def __str__(self) -> str:
        share = f"{self.true} of {self.count} edges true, above {wilson(self.true, self.count):.3f} with 95 %"
        return f"{share}; tells {self.found} of {self.truths} edges ({self.found / self.truths:.0%})"


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[Trace]:
    folder = tmp_path_factory.mktemp("models")
    for name, kind in RUNS:
        command = [*PROFILE, "-o", str(folder / f"{name}.{kind}.json.gz"), str(SCRIPT), name, kind]
        subprocess.run(command, check=True, capture_output=True)
    return [loaded(str(folder / f"{name}.{kind}.json.gz")) for name, kind in RUNS]


def edges(trace: Trace) -> tuple[set[tuple[int, int]], dict[Tier, set[tuple[int, int]]], list[str]]:
    """What is so; what each tier says of neighbors without knowing it; the units' operators."""
    step = trace.steps[0]
    known = dataflow(price(trace), step)
    assert known.executed
    blind = dataflow(price(replace(trace, evidence=None)), step)
    assert not blind.executed and len(blind.step_ops.op) == len(known.step_ops.op)
    told: dict[Tier, set[tuple[int, int]]] = {"T2": set(), "T3": set()}
    for edge in blind.edges:
        told[edge.tier].add((edge.producer, edge.consumer))
    names = [trace.calls[trace.ops.call[op]].name for op in known.step_ops.op.tolist()]
    return {(e.producer, e.consumer) for e in known.edges if e.tier == "T1"}, told, names


@pytest.mark.slow
def test_what_a_tier_tells_is_true(traces: list[Trace], capsys: pytest.CaptureFixture[str]) -> None:
    told: dict[Tier, Told] = {"T2": Told(), "T3": Told()}
    for trace in traces:
        truth, said, names = edges(trace)
        surer: set[tuple[int, int]] = set()
        for tier, found in told.items():
            surer |= said[tier]
            found.add(said[tier], truth, names)
            found.found += len(surer & truth)
            found.truths += len(truth)
    with capsys.disabled():
        print("", *(f"{tier}: {found}" for tier, found in told.items()), sep="\n")
    assert told["T2"].count >= 600 and told["T2"].true >= 0.98 * told["T2"].count, told["T2"].false
    assert told["T3"].true >= 0.6 * told["T3"].count, told["T3"].false


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_what_an_executed_step_proves_is_so(name: str, tmp_path: Path) -> None:
    """The same pairs as a twin sees that holds every tensor in its hands: none more, none less."""
    command = [*PROFILE, "-o", str(tmp_path / "t.json.gz"), str(WITNESS), name, str(tmp_path / "seen.json")]
    subprocess.run(command, check=True, capture_output=True)
    seen = json.loads((tmp_path / "seen.json").read_text())
    trace = loaded(str(tmp_path / "t.json.gz"))
    flow = dataflow(price(trace), trace.steps[0])
    place = witnessed(trace)
    assert len(place) >= len(seen["names"]) - 1  # the profiler's own last one apart
    marked = {*place.values(), *flow.step_ops.op.tolist()}
    unit = [outermost(trace, row, marked) for row in flow.step_ops.op.tolist()]
    home = {number: outermost(trace, row, marked) for number, row in place.items()}
    works = set(unit)
    assert works <= set(home.values()), "every operator that works was witnessed"
    pairs = {(home.get(a), home.get(b)) for a, b in seen["pairs"]}
    truth = {(a, b) for a, b in pairs if a != b and a in works and b in works}
    told = {(unit[e.producer], unit[e.consumer]) for e in flow.edges if e.tier == "T1"}
    assert flow.executed and len(truth) > 80
    assert {(a, b) for a, b in told if a != b} == truth


def witnessed(trace: Trace) -> dict[int, int]:
    """Number of a witnessed operator -> its annotation's row, in the first step."""
    ops, step = trace.ops, trace.steps[0]
    rows = [row for row in range(len(ops)) if step.start_ns <= ops.start_ns[row] < step.end_ns]
    named = [(trace.names[ops.name[row]], row) for row in rows]
    return {int(name.removeprefix(MARK)): row for name, row in named if name.startswith(MARK)}


def outermost(trace: Trace, row: int, marked: set[int]) -> int:
    """Of those marked the one that holds all others round an op."""
    found = row
    while row >= 0:
        found = row if row in marked else found
        row = int(trace.ops.parent[row])
    return found
