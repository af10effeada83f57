"""Predicted against measured savings, on this machine's CPU: `python benchmarks/savings.py [--held-back]`.

Every case of regions.py is recorded by our own collector and analyzed; the rule with the largest saving is
verified as `traceanalyze verify` does it. Without --held-back only the half that chooses is run. With --write
the table of those held back goes into docs/savings.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import tables
import torch
from regions import CASES, SIZES, Case

import traceanalyzer
from traceanalyzer.device.calibrate import cpu_roofs
from traceanalyzer.fusion.rules import Match, Rule
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import applied
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import step_graph_of
from traceanalyzer.records import CpuRoofs, Device
from traceanalyzer.verify.verify import Verified, trial_of, verified


@dataclass(frozen=True, slots=True)
class Outcome:
    case: Case
    found: Verified | None

    @property
    def error(self) -> float:
        """Of the middle estimate, by the measured saving."""
        assert self.found is not None and self.found.band is not None
        return (self.found.band.mid - self.found.timed.saved_ns) / self.found.timed.saved_ns


def recorded(case: Case, folder: Path) -> StepGraph:
    path = folder / f"{case.name}.{case.size.replace(' ', '')}.json.gz"
    step = case.pattern(SIZES[case.size])
    with traceanalyzer.profile(path, wait=1, warmup=1, active=1, roofs=False) as profiler:
        for _ in range(6):
            step()
            profiler.step()
    graph = step_graph_of(path, AnalyzeOptions())
    assert graph is not None
    return graph


def largest(graph: StepGraph) -> tuple[Rule, Match] | None:
    """The place that takes most time among those that can be tried."""
    every = [(rule, match) for rule, matches in applied(graph) for match in matches]
    tried = [(rule, match) for rule, match in every if rule.replacement != "nothing" and match.after]
    return max(tried, key=lambda one: sum(node.time_ns for node in one[1].nodes), default=None)


def outcomes(held_back: bool, roofs: CpuRoofs, folder: Path) -> Iterator[Outcome]:
    device = Device(
        id="here", name=roofs.name, kind="cpu", how="calibrated", confidence="measured",
        bandwidth_bytes_per_s=roofs.bandwidth_bytes_per_s, peaks=roofs.peaks,
    )  # fmt: skip
    for case in CASES:
        if case.held_back != held_back:
            continue
        graph = recorded(case, folder)
        place = largest(graph)
        trial = trial_of(graph, *place, "cpu") if place else None
        found = verified(trial, device, roofs.launch_floor_ns or 5000) if trial else None
        yield Outcome(case, found)


def line(outcome: Outcome) -> str:
    case, found = outcome.case, outcome.found
    if found is None:
        return f"| {case.name} | {case.size} | no rule predicts a time | | | | | | |"
    t, band = found.timed, found.band
    ms = [f"{value / 1e6:.3f}" for value in (t.eager_ns, t.replacement_ns, t.saved_ns)]
    if band is None:
        return f"| {case.name} | {case.size} | {found.rule} | {' | '.join(ms)} | nothing promised | | |"
    told = f"{band.low / 1e6:.3f} / {band.mid / 1e6:.3f} / {band.high / 1e6:.3f}"
    inside = "yes" if found.inside else "no"
    start = f"| {case.name} | {case.size} | {found.rule} | {' | '.join(ms)} | {told}"
    return f"{start} | {outcome.error:+.0%} | {inside} |"


def summary(done: list[Outcome]) -> str:
    known = [outcome for outcome in done if outcome.found and outcome.found.band]
    inside = sum(outcome.found.inside for outcome in known if outcome.found)
    error = median(abs(outcome.error) for outcome in known)
    return (
        f"\n{len(known)} of {len(done)} regions are promised a saving: the median error of the middle is "
        f"{error:.1%} of what was saved, and {inside} lie inside low..high ({inside / len(known):.0%})."
    )


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--held-back", action="store_true")
    options.add_argument("--write", action="store_true", help="into docs/savings.md")
    chosen = options.parse_args()
    roofs = sorted((cpu_roofs() for _ in range(3)), key=lambda one: one.bandwidth_bytes_per_s)[1]
    said: list[str] = []

    def say(text: str) -> None:
        print(text, flush=True)
        said.append(text)

    say(f"On {roofs.name}, {roofs.threads} threads, torch {torch.__version__}: "
        f"{roofs.bandwidth_bytes_per_s / 1e9:.1f} GB/s\n")  # fmt: skip
    say("| region | size | rule | eager, ms | instead, ms | saved, ms | predicted, ms | error | inside |")
    say("|---|---|---|---:|---:|---:|---:|---:|---|")
    done = []
    with tempfile.TemporaryDirectory() as folder:
        for outcome in outcomes(chosen.held_back, roofs, Path(folder)):
            say(line(outcome))
            done.append(outcome)
    say(summary(done))
    if chosen.write and chosen.held_back:
        tables.write("savings.md", "regions held back", said)


if __name__ == "__main__":
    main()
