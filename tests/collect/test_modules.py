"""Names of modules, and that watching their calls changes nothing."""

from __future__ import annotations

import contextlib

import torch
from torch import nn

from traceanalyzer.collect.modules import ModuleCalls, short_name


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def annotations(calls: ModuleCalls, work: list[nn.Module]) -> list[str]:
    calls.install()
    try:
        for module in work:
            module(torch.ones(2, 4))
        calls.start()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            for module in work:
                module(torch.ones(2, 4))
    finally:
        calls.uninstall()
    named = [e for e in profiler.events() if e.name.startswith("nn.Module: ")]
    return [e.name.removeprefix("nn.Module: ") for e in sorted(named, key=lambda e: e.time_range.start)]


def test_calls_are_named_as_in_the_state_dict_and_a_second_root_by_its_class() -> None:
    first, second = nn.Sequential(Block(), nn.ReLU()), Block()
    assert annotations(ModuleCalls(lambda owner: None), [first, second]) == [
        "Sequential", "0", "0.inner", "1", "Block", "Block.inner",
    ]  # fmt: skip


def test_only_outermost_returns_are_told_of_and_no_failure_is() -> None:
    told: list[object] = []
    calls = ModuleCalls(told.append)
    model = nn.Sequential(Block(), Block())
    calls.install()
    try:
        model(torch.ones(2, 4))
        with contextlib.suppress(RuntimeError):
            model(torch.ones(2, 5))
        model(torch.ones(2, 4))
    finally:
        calls.uninstall()
    assert told == [model] * 2
    model(torch.ones(2, 4))
    assert len(told) == 2


def test_afterwards_calls_are_torchs_own() -> None:
    before = nn.Module.__call__
    calls = ModuleCalls(lambda owner: None)
    calls.install()
    assert nn.Module.__call__ is not before
    calls.uninstall()
    assert nn.Module.__call__ is before


def test_what_wrappers_add_to_names_is_left_out() -> None:
    class DistributedDataParallel:
        pass

    assert short_name(DistributedDataParallel(), "module._orig_mod.layers.0") == "layers.0"
    assert short_name(object(), "module.layers.0") == "module.layers.0"
    assert short_name(object(), "_fsdp_wrapped_module.head") == "head"
