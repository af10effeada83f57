"""`verify` of every rule there is: it is tried, or one line says why not and what to do instead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from tests.fusion.rules.test_unfused_attention import attention, gradients
from tests.fusion.scenes import CPU, found_by, op, scene, within
from tests.pipeline import real
from tests.project.tree import ROOT
from traceanalyzer import pipeline
from traceanalyzer.cli import main, verify
from traceanalyzer.fusion.rules import RULES, Match, Rule
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import applied
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records.suggestion import Suggestions
from traceanalyzer.verify import modules
from traceanalyzer.verify import verify as trials
from traceanalyzer.verify.measure import Timed
from traceanalyzer.verify.replay import Replay

X = (16, 16)
PLACE = tuple(within("blocks.0", op("mm", X, X), op("exp", X), op("mul", X, X), op("add", X, X)))
REAL = os.environ.get("TRACEANALYZER_REAL_TRACES")
SAMPLES = sorted((ROOT / "sample_traces").glob("*_cpu.json.gz"))
TRACES = [*SAMPLES, *real.files(Path(REAL))] if REAL else SAMPLES


def tried(rule: Rule, found: Any, path: str, patch: pytest.MonkeyPatch) -> Result:
    """`verify` on what is `found` already, with nothing compiled, and no time measured."""
    patch.setattr(pipeline, "reported", lambda *_: found)
    patch.setattr(verify, "_this_machine", lambda: (CPU, 5e3))
    patch.setattr(trials, "timed", lambda *_: Timed(1e6, 5e5))
    patch.setattr(modules, "timed", lambda *_: Timed(1e6, 5e5))
    patch.setattr(trials, "compiled", lambda eager: eager)
    patch.setattr(modules, "compiled", lambda eager: eager)
    patch.setattr(trials, "use_threads", lambda count: None)
    return CliRunner().invoke(main, ["verify", path, rule.name])


def answers(rule: Rule, said: Result) -> None:
    """Times and one verdict, or one line as of any input that is refused."""
    assert "internal error" not in said.stderr, (rule.name, said.stderr)
    if said.exit_code == 0:
        assert "before" in said.stdout and said.stdout.rstrip().endswith(".")
        assert rule.replacement != "nothing"
        return
    assert said.exit_code == 2, (rule.name, said.output)
    assert said.stderr.count("\n") == 1 and not said.stdout, said.output
    what, fix = said.stderr.split(". Fix: ")
    assert what.startswith(f"traceanalyze: {rule.name}: ") and len(what) > len(rule.name) + 40
    assert "apply the snippet" in fix and "record again, then `traceanalyze diff " in fix


def test_what_is_announced_is_what_is_tried_and_the_rest_has_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The largest place is one that nobody can call again; the module is that of the place that is tried."""
    foreign = within("head", op("mylib::gate", X), op("mylib::gate", X), op("sub", X, X))
    graph = scene(*foreign, *PLACE, steps=2)
    places = [Match(tuple(graph.nodes[at]), "T1") for at in (slice(0, 3), slice(3, 7))]
    monkeypatch.setattr(verify, "_largest_first", lambda *_: places)
    found = SimpleNamespace(graphs=(graph,), suggestions=Suggestions(()), analysis=None)
    rule = next(rule for rule in RULES if rule.name == "pointwise_chain")
    said = tried(rule, found, "step.json.gz", monkeypatch)
    assert said.exit_code == 0, said.output
    told, result = " ".join(said.stderr.split()), " ".join(said.stdout.split())
    assert "tries mm → exp → mul → add, op by op" in told and "the module blocks.0 (4 operators)" in told
    assert "gate" not in told and "the largest that can be rebuilt" in result
    assert "its module blocks.0 as a whole: 4 operators" in result
    refused = result.partition("not tried ")[2]
    assert "gate → sub: " in refused and "cannot be called again from what the trace records" in refused


def test_a_backward_pass_that_is_tried_with_its_forward_pass_is_not_called_untried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However much longer it takes, so that it comes first."""
    graph = scene(*attention(), *gradients(), *PLACE, steps=2)
    forward, backward = found_by(graph, "unfused_attention")
    monkeypatch.setattr(verify, "_largest_first", lambda *_: [backward, forward])
    monkeypatch.setattr(trials, "rebuilt", lambda *_: Replay(lambda x: x * 2, (torch.rand(4),)))
    rule = next(rule for rule in RULES if rule.name == "unfused_attention")
    found = SimpleNamespace(graphs=(graph,), suggestions=Suggestions(()), analysis=None)
    said = tried(rule, found, "step.json.gz", monkeypatch)
    assert said.exit_code == 0 and "with its backward pass" in " ".join(said.stdout.split()), said.output
    assert "not tried" not in said.stdout and "the largest place" in said.stdout


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("nodes", [0, 4])
def test_of_every_rule_it_says_what_can_be_said(
    rule: Rule, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nodes`: of the place; what is found of the host alone has none."""
    items = attention() if rule.replacement == "attention" and nodes else PLACE
    graph = scene(*items, steps=2)
    place = Match(tuple(graph.nodes[: nodes and len(items)]), "T2", where="optimizer AdamW")
    monkeypatch.setattr(verify, "_largest_first", lambda *_: [place])
    found = SimpleNamespace(graphs=(graph,), suggestions=Suggestions(()), analysis=None)
    said = tried(rule, found, "step.json.gz", monkeypatch)
    answers(rule, said)
    if rule.replacement != "attention":  # a scene records no number to divide by
        assert (said.exit_code == 0) == (rule.replacement != "nothing" and nodes > 0), said.output


def rules_in(graphs: Sequence[StepGraph]) -> list[Rule]:
    return list(dict.fromkeys(rule for graph in graphs for rule, matches in applied(graph) if matches))


@pytest.mark.slow
@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_of_every_rule_that_a_recording_shows_it_says_what_can_be_said(path: Path) -> None:
    of = pipeline.reported(path, AnalyzeOptions(kernels=False))
    found = SimpleNamespace(graphs=tuple(of.graphs), suggestions=of.suggestions, analysis=of.analysis)
    for rule in rules_in(found.graphs):
        with pytest.MonkeyPatch.context() as patch:
            answers(rule, tried(rule, found, str(path), patch))


def test_a_name_that_is_spelled_like_no_rule_is_told_all_of_them() -> None:
    said = CliRunner().invoke(main, ["verify", "step.json.gz", "xyzzy"])
    assert said.exit_code == 2 and said.stderr.count("\n") == 1
    assert all(rule.name in said.stderr for rule in RULES)
