"""How often what a tier proves is true, by what really read what, on six kinds of models."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import pytest

from tests.fusion.models import MODELS
from traceanalyzer.cost.ownership import own
from traceanalyzer.fusion.executed import executed, flows
from traceanalyzer.fusion.freed import proved
from traceanalyzer.fusion.matching import matched
from traceanalyzer.fusion.units import units
from traceanalyzer.trace import load

SCRIPT = Path(__file__).with_name("models.py")
PROFILE = (sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--no-roofs", "--active", "1")


def wilson(true: int, count: int) -> float:
    """Lower end of the 95 % interval of a share (E. B. Wilson, 1927)."""
    z, p = 1.96, true / count
    return (p + z * z / (2 * count) - z * sqrt(p * (1 - p) / count + z * z / (4 * count * count))) / (
        1 + z * z / count
    )


@dataclass
class Told:
    """Edges of one tier over all models."""

    true: int = 0
    false: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: int = 0


def compare(path: Path, told: Told) -> None:
    """The edges between neighbours in the first step of a trace, beside those of the executed step."""
    trace = load(str(path))
    assert trace.evidence is not None
    step = executed(trace.evidence)
    assert step is not None
    working = units(trace, own(trace), trace.steps[0])
    rows = matched(step, trace, trace.steps[0])
    place = {int(op): at for at, op in enumerate(working.op.tolist())}
    assert set(place) <= set(rows.tolist()), "every operator that works is found in the executed step"
    works = [op in place for op in rows.tolist()]
    truth = {(place[int(rows[f.producer])], place[int(rows[f.consumer])]) for f in flows(step, works)}
    said = set(proved(trace, working))
    name = [trace.calls[trace.ops.call[op]].name for op in working.op.tolist()]
    told.true += len(said & truth)
    told.false.update((name[a], name[b]) for a, b in said - truth)
    told.missed += len({(a, b) for a, b in truth if b == a + 1} - said)


@pytest.mark.slow
def test_what_frees_prove_is_true(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told()
    for name in MODELS:
        path = tmp_path / f"{name}.json.gz"
        subprocess.run([*PROFILE, "-o", str(path), str(SCRIPT), name], check=True, capture_output=True)
        compare(path, told)
    count = told.true + told.false.total()
    bound = wilson(told.true, count)
    with capsys.disabled():
        print(f"\nfrees: {told.true} of {count} edges true, above {bound:.3f} with 95 %; "
              f"{told.missed} neighbours more share a tensor")  # fmt: skip
    assert told.true >= 0.98 * count, told.false
    assert count >= 300
