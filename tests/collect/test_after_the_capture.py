"""What is left of us when the capture is over: one Python call a step, and no tensor."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from traceanalyzer.collect.capture import CaptureResult
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.session import CapturePhase, Session


def test_one_call_a_step_and_no_tensor_is_left(tmp_path: Path) -> None:
    kept: list[CaptureResult] = []
    said: list[str] = []
    session = Session(Schedule(1, 0, 1), tmp_path, kept.append, said.append)
    session.watch()
    try:
        model = torch.nn.Linear(4, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step() -> None:
            model(torch.ones(2, 4)).sum().backward()
            optimizer.step()

        for _ in range(12):
            step()
        assert session.phase is CapturePhase.DONE and kept and not said
        ours = str(Path(sys.modules[Session.__module__].__file__ or "").parent)
        calls: list[str] = []

        def count(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(ours):
                calls.append(frame.f_code.co_name)

        sys.setprofile(count)
        try:
            step()
        finally:
            sys.setprofile(None)
        assert calls == ["stepped"]
        held = [o for o in gc.get_objects() if str(type(o).__module__).startswith("traceanalyzer.collect")]
        reached = [o for each in held for o in gc.get_referents(each)]
        assert not [o for o in reached if isinstance(o, torch.Tensor)]
    finally:
        session.finish()
    assert not hasattr(torch.optim.SGD.step, "_traceanalyze")


def test_steps_that_take_long_are_captured_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun is finished; the rest of the schedule is left out, and that is said."""
    monkeypatch.setattr("traceanalyzer.collect.capture.LONGEST_CAPTURE_NS", 1)
    kept: list[CaptureResult] = []
    said: list[str] = []
    session = Session(Schedule(1, 0, 3, evidence=False), tmp_path, kept.append, said.append)
    session.begin()
    for _ in range(4):
        torch.ones(2).add(1)
        session.step()
    session.finish()
    assert kept[-1].steps == ["ProfilerStep#1"] and kept[-1].unfinished is None
    assert [line.startswith("stopped after 1 of 3 steps") for line in said] == [True]
