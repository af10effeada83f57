"""What `verify` says beside its times: what the report promises of this place, and how long it takes."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import CPU, found_by, op, scene, within
from traceanalyzer.cli.verify_lines import Claim, announced, result_lines, verdict_lines
from traceanalyzer.fusion.place_promise import PlacePromise, place_promise, recorded_ns
from traceanalyzer.fusion.rules import rule_named
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import Band, Device
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.suggestion import Suggestions
from traceanalyzer.report.change_words import span
from traceanalyzer.verify import modules
from traceanalyzer.verify.measure import Timed, runs_of, timed
from traceanalyzer.verify.modules import ModuleTrial, VerifiedModule, module_trial
from traceanalyzer.verify.replay import Replay
from traceanalyzer.verify.verify import Trial, Verified

X = (4096, 4096)
CHAIN = op("exp", X), op("log", X), op("mul", X, X)
RULE = rule_named("pointwise_chain")
assert RULE is not None


def layers(count: int) -> StepGraph:
    items = [each for i in range(count) for each in within(f"blocks.{i}", op("mm", X, X), *CHAIN)]
    return scene(*items, op("mm", X, X), freed=True, steps=2)


def told_of(graph: StepGraph) -> PlacePromise:
    match = found_by(graph, "pointwise_chain")[0]
    of = place_promise(graph, RULE, (match,), suggestions(graph))
    assert of is not None
    return of


@pytest.mark.parametrize("count", [1, 4])
def test_the_parts_of_all_places_are_the_saving_that_the_report_has(count: int) -> None:
    graph = layers(count)
    matches = found_by(graph, "pointwise_chain")
    found = suggestions(graph)
    (told,) = (each for each in found.found or () if each.rule == "pointwise_chain")
    parts = [(place_promise(graph, RULE, (match,), found), recorded_ns(graph, (match,))) for match in matches]
    assert told.count == len(matches) == count and told.saving_per_step_ns is not None
    for end in ("low", "mid", "high"):
        saved = sum(getattr(of.share, end) * ns for of, ns in parts if of is not None and of.share)
        assert saved == pytest.approx(getattr(told.saving_per_step_ns, end))
        whole = sum(getattr(of.part, end) for of, _ in parts if of is not None and of.part)
        assert whole == pytest.approx(getattr(told.saving_per_step_ns, end)), "in ms they add up to it too"
    assert all(of is not None and of.suggestion == told and of.places == 1 for of, _ in parts)


def test_of_what_the_report_does_not_suggest_nothing_is_promised() -> None:
    graph = layers(1)
    (match,) = found_by(graph, "pointwise_chain")
    assert place_promise(graph, RULE, (match,), Suggestions(())) is None
    assert place_promise(graph, RULE, (match,), Suggestions(None)) is None


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


def lines(
    graph: StepGraph, device: Device, eager_ns: float, replacement_ns: float, share: Band,
    band: Band | None = None, module: VerifiedModule | None = None, took_ns: float | None = None,
) -> str:  # fmt: skip
    """`took_ns`: in the recording; without it what the graph says."""
    took = recorded_ns(graph, found_by(graph, "pointwise_chain")[:1]) if took_ns is None else took_ns
    times = Timed(eager_ns, replacement_ns)
    result = Verified("pointwise_chain", "compiled", ("exp", "log"), times, band, recorded_ns=took)
    told = Claim("2.1 to 3.4 ms per step, proved", replace(told_of(graph), share=share))
    written = list(result_lines(result, "the largest place", graph, told, device))
    written += verdict_lines(result, module, told, graph, device)
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
    written = lines(graph, graph.device, 1e6, left * 1e6, Band(low, 0.5, 0.6), took_ns=1e6)
    assert said in written
    part = told_of(graph).part
    assert part is not None
    assert "the report 2.1 to 3.4 ms per step, proved: 4 places in blocks.*; the one that is" in written
    assert f"tried has {span(part.low, part.high)} of that" in written


@pytest.mark.parametrize(
    ("band", "said"),
    [
        (Band(620e3, 740e3, 860e3), "; this machine's roofs predicted more: 62 to 86 %."),
        (Band(420e3, 540e3, 660e3), "; as this machine's roofs predicted."),
        (Band(0.0, 140e3, 260e3), "; this machine's roofs predicted less: at most 26 %."),
        (None, "; by this machine's roofs no saving was sure."),
    ],
)
def test_the_promise_and_this_machine_s_roofs_are_one_sentence(band: Band | None, said: str) -> None:
    graph = layers(4)
    written = lines(graph, graph.device, 1e6, 0.41e6, Band(0.0, 0.5, 0.92), band, took_ns=1e6)
    held = "promise held: 59 % saved here, at most 92 % promised by the report"
    assert written.endswith(held + said), written
    assert "outside" not in written and written.count("held") == 1


def of_module(took_ns: float, eager_ns: float, replacement_ns: float) -> VerifiedModule:
    return VerifiedModule("blocks.0", 4, False, Timed(eager_ns, replacement_ns), None, took_ns, True)


@pytest.mark.parametrize(
    ("took_ns", "module", "why"),
    [
        (30e6, None, "the place took 30 times as long in the recording (as under load"),
        (1e6 / 68, None, "the place takes 68 times as long here (a slower machine"),
        (1e6, of_module(1e6, 10e6, 5e6), "its module 10 times slower than recorded"),
        (1e6, of_module(1e6, 1e6, 1.3e6), "compiled, the place is faster and its module slower"),
    ],
)
def test_nothing_is_held_by_times_that_are_far_apart(
    took_ns: float, module: VerifiedModule | None, why: str
) -> None:
    graph = layers(4)
    written = lines(graph, graph.device, 1e6, 0.4e6, Band(0.3, 0.5, 0.7), None, module, took_ns)
    assert "this run says little of the promise: " in written and why in written
    assert "held" not in written and "60 % saved here, 30 to 70 % promised by the report" in written


def test_a_module_that_agrees_with_its_place_raises_no_doubt() -> None:
    graph = layers(4)
    agreeing = of_module(2e6, 1e6, 0.5e6)
    written = lines(graph, graph.device, 1e6, 0.5e6, Band(0.3, 0.5, 0.6), None, agreeing, 1e6)
    assert "promise held" in written and "says little" not in written


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
    claim = Claim("no time predicted", PlacePromise(suggestion, None))
    found = result_lines(result, "the largest place", graph, claim, graph.device)
    written = " ".join((*found, *verdict_lines(result, None, claim, graph, graph.device)))
    assert ("within the error of the prediction" in written) == predicts
    assert ("what it would save is not known" in written) == (not predicts)
    assert "no promise to compare with: the report predicts no time" in written


def test_what_is_promised_of_a_gpu_is_not_held_against_a_cpu() -> None:
    written = lines(layers(1), CPU, 1e9, 5e8, Band(0.3, 0.4, 0.45))
    assert "promise not of this device: 50 % saved here, 30 to 45 % promised by the report for" in written


def trial(graph: StepGraph) -> Trial:
    (match,) = found_by(graph, "pointwise_chain")
    program = Replay(lambda: None, ())
    return Trial(RULE, match, program, program, recorded_ns=recorded_ns(graph, (match,)))


def test_how_long_it_takes_is_said_where_the_recording_tells_and_only_there() -> None:
    graph = layers(1)
    there = " ".join(announced(graph, trial(graph), None, on_gpu=True))
    assert "exp → log → mul, op by op and by torch.compile" in there and "at the recording's speed" in there
    here = " ".join(announced(graph, trial(graph), None, on_gpu=False))
    assert "how long the runs take is not known" in here and "at the recording's speed" not in here


def test_a_module_that_is_too_large_to_be_tried_is_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = layers(1)
    (match,) = found_by(graph, "pointwise_chain")
    nodes = graph.nodes[:4]
    module = ModuleTrial("blocks.0", nodes, (), Replay(None, ()), graph.undisturbed_ns(nodes))  # type: ignore[arg-type]
    whole = " ".join(announced(graph, trial(graph), module, on_gpu=True))
    assert "then the module blocks.0 (4 operators) likewise" in whole
    assert "module" not in " ".join(announced(graph, trial(graph), None, on_gpu=True))
    monkeypatch.setattr(modules, "MOST_OPERATORS", 3)
    with pytest.raises(UsageError, match="blocks.0 calls 4 operators, more than are rebuilt"):
        module_trial(graph, match, "cpu")
