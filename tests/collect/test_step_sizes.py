"""Steps by the sizes of what the model is called with: a prefill that comes again is captured too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.collect.harness import document
from traceanalyzer.collect.capture import CaptureResult
from traceanalyzer.collect.process_use import ProcessUse
from traceanalyzer.collect.recording import _steps
from traceanalyzer.collect.run import ProfileRequest, TraceSaver
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import Script
from traceanalyzer.collect.session import CapturePhase, Session
from traceanalyzer.collect.step_sizes import MissedStep, SizesOfStep, StepSizes

PREFILL, DECODE = StepSizes(1, {"ids": 512, "mask": 512}), StepSizes(1, {"ids": 1, "mask": 520})


@pytest.mark.parametrize(
    ("first", "second", "alike", "larger"),
    [
        (PREFILL, DECODE, False, True),
        (DECODE, PREFILL, False, False),
        (PREFILL, StepSizes(1, {"ids": 700, "mask": 700}), True, False),
        (PREFILL, StepSizes(2, {"ids": 512, "mask": 512}), False, False),
        (PREFILL, StepSizes(1, {"ids": 512}), False, False),
        (StepSizes(1, {"x": 8, "y": 1}), StepSizes(1, {"x": 1, "y": 8}), False, False),
    ],
)
def test_sizes_tell_steps_apart(first: StepSizes, second: StepSizes, alike: bool, larger: bool) -> None:
    assert first.alike(second) is alike and first.larger(second) is larger


def test_only_what_is_larger_than_all_captured_steps_is_missed() -> None:
    missed = MissedStep()
    for sizes in (PREFILL, DECODE, PREFILL):
        missed.before(sizes)
    missed.captured([PREFILL, DECODE])
    assert missed.sizes is None and missed.text() is None
    missed.captured([DECODE, DECODE])
    assert missed.sizes == PREFILL and "512 times as much" in (missed.text() or "")
    assert missed.returns(PREFILL) and not missed.returns(DECODE)


def test_the_first_pass_of_a_step_is_measured_and_the_others_counted() -> None:
    sizes = SizesOfStep()
    sizes.called((torch.ones(3, 4), "text"), {"mask": torch.ones(2)})
    sizes.called((torch.ones(99),), {})
    assert sizes.ended() == StepSizes(2, {"0": 12, "mask": 2})
    assert sizes.ended() == StepSizes(0, {})


@pytest.fixture(autouse=True)
def no_optimizer_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a script that only infers; those of other tests in this process leave their classes hooked."""
    for optimizer in vars(torch.optim).values():
        step = getattr(optimizer, "step", None)
        if getattr(step, "hooked", False):
            monkeypatch.setattr(step, "hooked", False)


def generate(model: torch.nn.Module, tokens: int) -> None:
    """One prefill of 32 tokens, then the others one by one."""
    model(torch.ones(32, 8))
    for _ in range(tokens - 1):
        model(torch.ones(1, 8))


@pytest.mark.parametrize("calls", [1, 2])
def test_a_prefill_that_comes_again_is_captured_with_decode_steps(calls: int, tmp_path: Path) -> None:
    model = torch.nn.Linear(8, 8)
    kept: list[CaptureResult] = []
    said: list[str] = []
    session = Session(Schedule(1, 1, 3, evidence=False), tmp_path, kept.append, said.append)
    session.watch()
    try:
        with torch.no_grad():
            for _ in range(calls):
                generate(model, 12)
        assert session.phase is (CapturePhase.DONE if calls == 2 else CapturePhase.AGAIN)
    finally:
        session.finish()
    captured = kept[-1]
    if calls == 1:
        assert captured.steps == ["ProfilerStep#2", "ProfilerStep#3", "ProfilerStep#4"]
        assert [line.partition(":")[0] for line in said] == [
            "a step before the captured ones worked on 32 times as much, as a prefill does"
        ]
        return
    assert captured.steps == ["ProfilerStep#12", "ProfilerStep#13", "ProfilerStep#14"] and not said
    assert [sizes.elements["0"] for sizes in captured.sizes] == [256, 8, 8]
    events = json.loads(captured.raw.read_bytes())["traceEvents"]
    dims = [e["args"]["Input Dims"][1] for e in events if e.get("name") == "aten::addmm"]
    assert dims == [[32, 8], [1, 8], [1, 8]]
    prefill, decode, _ = _steps(captured)
    assert prefill.unprofiled_ns is None and decode.unprofiled_ns is not None  # the first was never timed


def saved(session: Session, folder: Path) -> dict[str, Any]:
    """The trace that a run with this session writes at its end."""
    request = ProfileRequest(
        Script("t.py", (), False), folder / "t.trace.json.gz", session.schedule, "", None
    )
    assert session.result is not None
    TraceSaver(request, pytest.fail, lambda _: None).complete(session.result)
    return document(request.target)


def test_what_was_recorded_behind_the_first_capture_is_saved_with_the_second(tmp_path: Path) -> None:
    """Evidence, calling lines and counters alike; the steps in the trace are those of the second."""
    model = torch.nn.Linear(8, 8)
    said: list[str] = []
    session = Session(Schedule(3, 2, 3), tmp_path, lambda _: None, said.append)
    session.watch()
    try:
        with torch.no_grad():
            for _ in range(3):
                generate(model, 13)
                if session.result is not None and session.phase is CapturePhase.AGAIN:
                    session.result.further.counters = tmp_path / "counters.json"  # none without a GPU
    finally:
        session.finish()
    assert session.result is not None and not said
    assert session.result.steps == ["ProfilerStep#13", "ProfilerStep#14", "ProfilerStep#15"]
    assert session.result.further.counters == tmp_path / "counters.json"
    step = saved(session, tmp_path)["traceanalyzeEvidence"]
    assert "aten::addmm" in step["names"] and "generate" in {f[2] for f in step["call_sites"]["functions"]}
    assert {site for site in step["site"] if site >= 0}, "the lines that call operators are known"


def evaluated(model: torch.nn.Module, steps: int) -> None:
    with torch.no_grad():
        for _ in range(steps):
            model(torch.ones(2, 8))


def trained(model: torch.nn.Module, steps: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.ones(2, 8)).exp().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("steps", [4, 12])
def test_evidence_of_steps_that_the_trace_lacks_is_left_out_and_that_is_said(
    steps: int, tmp_path: Path
) -> None:
    """An evaluation has been captured; then a training is, whose end may come before evidence of its own."""
    model = torch.nn.Linear(8, 8)
    said: list[str] = []
    session = Session(Schedule(1, 0, 3), tmp_path, lambda _: None, said.append)
    session.watch()
    try:
        evaluated(model, 8)
        assert session.result is not None and session.result.further.evidence is not None
        trained(model, steps)
    finally:
        session.finish()
    lost = [
        line for line in said if line.startswith("producer-consumer edges and calling lines are left out")
    ]
    step = saved(session, tmp_path).get("traceanalyzeEvidence")
    assert (step is None, len(lost)) == ((True, 1) if steps == 4 else (False, 0))
    assert step is None or "aten::exp" in step["names"]


def test_a_capture_that_is_kept_keeps_the_evidence_of_its_own_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training that follows is cut short by its size: the evaluation before it is saved."""
    model = torch.nn.Linear(8, 8)
    session = Session(Schedule(1, 0, 3), tmp_path, lambda _: None, [].append)
    session.watch()
    try:
        evaluated(model, 8)
        monkeypatch.setattr("traceanalyzer.collect.capture.LONGEST_CAPTURE_NS", 1)
        trained(model, 12)
    finally:
        session.finish()
    trace = saved(session, tmp_path)
    assert not [event for event in trace["traceEvents"] if event.get("name") == "aten::exp"]
    step = trace["traceanalyzeEvidence"]
    assert "aten::addmm" in step["names"] and "aten::exp" not in step["names"]
    assert "evaluated" in {function[2] for function in step["call_sites"]["functions"]}


def test_a_profiler_of_the_script_is_left_alone_when_a_prefill_comes_again(tmp_path: Path) -> None:
    model = torch.nn.Linear(8, 8)
    kept: list[CaptureResult] = []
    said: list[str] = []
    session = Session(Schedule(1, 1, 3, evidence=False), tmp_path, kept.append, said.append)
    session.watch()
    try:
        with torch.no_grad():
            generate(model, 12)
            with torch.autograd.profiler.profile() as theirs:
                generate(model, 12)
    finally:
        session.finish()
    assert kept[-1].steps[0] == "ProfilerStep#2" and "aten::addmm" in {e.name for e in theirs.function_events}
    assert not any("abandoned" in line for line in said)


def test_a_model_that_is_traced_is_not_asked_for_sizes() -> None:
    sizes: list[StepSizes] = []

    class Asked(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(SizesOfStep().called((x,), {}))
            return x + 1

    torch.jit.trace(Asked(), torch.ones(3, 4))  # type: ignore[no-untyped-call]
    assert sizes and sizes[0] == StepSizes(1, {})


def test_a_step_is_compared_with_those_of_its_own_sizes() -> None:
    result = CaptureResult(Path("t.json"))
    result.add("ProfilerStep#5", ProcessUse(900), PREFILL)
    result.add("ProfilerStep#6", ProcessUse(30), DECODE)
    result.unprofiled_ns = [10, 20, 600, 30, 5]
    result.unprofiled_used = [ProcessUse(ns, ns, 2 * ns) for ns in result.unprofiled_ns]
    result.unprofiled_sizes = [DECODE, DECODE, PREFILL, DECODE, None]
    prefill, decode = _steps(result)
    assert (prefill.name, prefill.profiled_ns, prefill.unprofiled_ns) == ("ProfilerStep#5", 900, 600)
    assert (decode.profiled_ns, decode.unprofiled_ns, decode.minor_faults) == (30, 20, 20)
