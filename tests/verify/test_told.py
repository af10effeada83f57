"""What `verify` says beside its times: what the report promises of this place, and how long it takes."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import CPU, found_by, op, scene, within
from traceanalyzer.cli import verify_lines
from traceanalyzer.cli.verify_lines import Told, announced, result_lines
from traceanalyzer.fusion.promised import Promised, promised, recorded_ns
from traceanalyzer.fusion.rules import rule_named
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Band, Device
from traceanalyzer.records.suggestion import Suggestions
from traceanalyzer.verify.measure import Timed, runs_of, timed
from traceanalyzer.verify.replay import Replay
from traceanalyzer.verify.verify import Verified

X = (4096, 4096)
CHAIN = op("exp", X), op("log", X), op("mul", X, X)
RULE = rule_named("pointwise_chain")
assert RULE is not None


def layers(count: int) -> StepGraph:
    items = [each for i in range(count) for each in within(f"blocks.{i}", op("mm", X, X), *CHAIN)]
    return scene(*items, op("mm", X, X), freed=True, steps=2)


def told_of(graph: StepGraph) -> Promised:
    match = found_by(graph, "pointwise_chain")[0]
    of = promised(graph, RULE, (match,), suggestions(graph))
    assert of is not None
    return of


@pytest.mark.parametrize("count", [1, 4])
def test_the_parts_of_all_places_are_the_saving_that_the_report_has(count: int) -> None:
    graph = layers(count)
    matches = found_by(graph, "pointwise_chain")
    found = suggestions(graph)
    (told,) = (each for each in found.found or () if each.rule == "pointwise_chain")
    parts = [(promised(graph, RULE, (match,), found), recorded_ns(graph, (match,))) for match in matches]
    assert told.count == len(matches) == count and told.saving_per_step_ns is not None
    for end in ("low", "mid", "high"):
        saved = sum(getattr(of.share, end) * ns for of, ns in parts if of is not None and of.share)
        assert saved == pytest.approx(getattr(told.saving_per_step_ns, end))
    assert all(of is not None and of.suggestion == told for of, _ in parts)


def test_of_what_the_report_does_not_suggest_nothing_is_promised() -> None:
    graph = layers(1)
    (match,) = found_by(graph, "pointwise_chain")
    assert promised(graph, RULE, (match,), Suggestions(())) is None
    assert promised(graph, RULE, (match,), Suggestions(None)) is None


@pytest.mark.parametrize("seconds", [0.003, 0.005])
def test_so_often_it_runs_as_is_said_beforehand(seconds: float) -> None:
    runs = {"eager": 0, "replacement": 0}

    def program(name: str) -> Replay:
        def run() -> None:
            runs[name] += 1
            time.sleep(seconds)

        return Replay(run, ())

    timed(program("eager"), program("replacement"))
    assert runs == dict.fromkeys(runs, runs_of(seconds * 1e9))


def lines(graph: StepGraph, device: Device, eager_ns: float, replacement_ns: float, share: Band) -> str:
    result = Verified("pointwise_chain", "compiled", ("exp", "log"), Timed(eager_ns, replacement_ns), None,
                      recorded_ns=recorded_ns(graph, found_by(graph, "pointwise_chain")[:1]))  # fmt: skip
    told = Told("2.1 to 3.4 ms per step, proved", replace(told_of(graph), share=share))
    written = list(result_lines(result, "the largest place", graph, told, device))
    assert all(len(line) <= 80 for line in written), written
    return " ".join(" ".join(written).split())


@pytest.mark.parametrize(
    ("left", "low", "said"),
    [
        (0.5, 0.3, "promise held: 50 % saved here, 30 to 60 % promised by the report"),
        (0.2, 0.3, "promise more than held: 80 % saved here, 30 to 60 % promised by the report"),
        (0.9, 0.3, "promise not held: 10 % saved here, 30 to 60 % promised by the report"),
        (0.9, 0.0, "promise held: 10 % saved here, at most 60 % promised by the report"),
        (1.2, 0.0, "promise not held: 20 % slower here, at most 60 % promised by the report"),
    ],
)
def test_whether_the_promise_held_is_told_in_shares_of_the_place(left: float, low: float, said: str) -> None:
    graph = layers(4)
    written = lines(graph, graph.device, 1e6, left * 1e6, Band(low, 0.5, 0.6))
    assert said in written
    assert "the report 2.1 to 3.4 ms per step, proved: 4 places in blocks.*" in written


def test_how_much_slower_this_machine_is_stands_beside_the_time() -> None:
    graph = layers(1)
    took = recorded_ns(graph, found_by(graph, "pointwise_chain"))
    here = replace(graph.device, name="this one")
    share = Band(0.3, 0.5, 0.6)
    assert "op by op: 3.0 times slower than in the recording" in lines(
        graph, graph.device, 3 * took, took, share
    )
    assert "op by op: 2.0 times faster than on NVIDIA H100" in lines(graph, here, took / 2, took, share)
    assert "op by op: as long as in the recording" in lines(graph, graph.device, took, took, share)


@pytest.mark.parametrize("predicts", [True, False])
def test_no_prediction_is_no_prediction_of_nothing(predicts: bool) -> None:
    """A rule may name no time at all; what it names may be too little to be sure of."""
    graph = layers(1)
    result = Verified("pointwise_chain", "compiled", ("exp", "log"), Timed(1e6, 5e5), None, predicts=predicts)
    suggestion = replace(told_of(graph).suggestion, saving_per_step_ns=None)
    claim = Told("no time predicted", Promised(suggestion, None))
    written = "\n".join(result_lines(result, "the largest place", graph, claim, graph.device))
    assert ("within the error of the prediction" in written) == predicts
    assert ("what it would save is not known" in written) == (not predicts)
    assert "promise     the report predicts no time" in written


def test_what_is_promised_of_a_gpu_is_not_held_against_a_cpu() -> None:
    written = lines(layers(1), CPU, 1e9, 5e8, Band(0.3, 0.4, 0.45))
    assert "promise not of this device: 50 % saved here, 30 to 45 % promised by the report for" in written


def test_how_long_it_takes_is_said_where_the_recording_tells_and_only_there() -> None:
    graph = layers(1)
    (match,) = found_by(graph, "pointwise_chain")
    there = " ".join(announced(graph, RULE, match, (match,), on_gpu=True))
    assert "exp → log → mul, op by op and by torch.compile" in there and "at the recording's speed" in there
    here = " ".join(announced(graph, RULE, match, (match,), on_gpu=False))
    assert "how long the runs take is not known" in here and "at the recording's speed" not in here


def test_a_module_that_is_too_large_to_be_tried_is_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = layers(1)
    (match,) = found_by(graph, "pointwise_chain")
    whole = " ".join(announced(graph, RULE, match, (match,), on_gpu=True))
    assert "then the module blocks.0 (4 operators) likewise" in whole
    monkeypatch.setattr(verify_lines, "MOST_OPERATORS", 3)
    assert "module" not in " ".join(announced(graph, RULE, match, (match,), on_gpu=True))
