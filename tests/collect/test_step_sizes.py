"""Steps by the sizes of what the model is called with: a prefill that comes again is captured too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from traceanalyzer.collect.capture import CaptureResult
from traceanalyzer.collect.process_use import ProcessUse
from traceanalyzer.collect.recording import _steps
from traceanalyzer.collect.schedule import Schedule
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
