"""One change that helps steps of two kinds: what it saves in each, and when all of them have paid for it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import op, scene
from traceanalyzer.fusion import each_kind
from traceanalyzer.fusion.cost_to_try import compiling
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.suggestion import OfKind, Suggestions

COMPILING_NS = 20e9


def compiled(name: str, steps: int, band: Band, rule: str = "pointwise_chain") -> Suggestions:
    """One suggestion to compile, for so many of six steps."""
    saved_ns = band.mid * steps / 6
    cost = compiling(COMPILING_NS, saved_ns, of_all_kinds=True, sure=band.low > 0)
    suggestion = Suggestion(
        rule=rule, title="", tier="T1", action="", snippet="model = torch.compile(model)", where="", count=1,
        evidence="", bytes_saved_per_step=None, saving_per_step_ns=band, share_of_step=None, caveats=(),
        docs="", saving_of="shown_step" if name == "A" else "step_of_kind", step_kind=OfKind(name, steps, 6),
        cost_to_try=cost,
    )  # fmt: skip
    return Suggestions((suggestion,), first_op=(0,), compiling_ns=(COMPILING_NS,))


def judged(columns: int) -> Judged:
    return scene(op("mm", (64, 64), (64, columns)), on_cpu=True).judged


def told(monkeypatch: pytest.MonkeyPatch, *kinds: Suggestions, same: bool = False) -> tuple[Suggestion, ...]:
    """`same`: steps of the further kinds make the calls of the first."""
    ready = iter(kinds)
    monkeypatch.setattr(each_kind, "suggest", lambda *_: next(ready))
    shown, others = judged(64), [judged(64 if same else 32)] * (len(kinds) - 1)
    return each_kind.suggest_each_kind(shown, shown, others).found or ()


def test_a_step_of_the_same_calls_that_took_longer_has_advice_on_waits_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step that the machine disturbed takes fourteen times as long, and no change of code undoes that."""
    shown, band = compiled("A", 4, Band(8e6, 10e6, 12e6)), Band(30e6, 40e6, 50e6)
    norm, loading = (compiled("B", 2, band, rule=rule) for rule in ("residual_norm", "data_loading"))
    assert told(monkeypatch, shown, norm, same=True) == shown.found
    rules = [each.rule for each in told(monkeypatch, shown, loading, same=True)]
    assert rules == ["data_loading", "pointwise_chain"]
    assert len(told(monkeypatch, shown, norm)) == 2, "other calls are another matter"


def test_what_shortens_calls_saves_as_much_in_a_step_that_took_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """10 ms in each of six steps pay 20 s back after 2,000."""
    shown, slower = compiled("A", 4, Band(8e6, 10e6, 12e6)), compiled("B", 2, Band(30e6, 40e6, 50e6))
    (both,) = told(monkeypatch, shown, slower, same=True)
    assert both.caveats == ("per step of kind B, 2 of 6 steps, it saves 8.00 ms to 12.0 ms",)
    assert both.cost_to_try.endswith("which pays back after about 2,000 steps of all kinds")


def test_another_type_is_another_call() -> None:
    half = scene(op("mm", (64, 64), (64, 64), dtypes="bf16"), on_cpu=True).judged
    assert each_kind._calls(half) != each_kind._calls(judged(64))
    twice = scene(*[op("mm", (64, 64), (64, 64))] * 2, on_cpu=True).judged
    assert each_kind._calls(twice) != each_kind._calls(judged(64))


def test_steps_of_both_kinds_pay_a_compilation_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms in four of six steps and 40 ms in two are 20 ms per step: 20 s are paid back after 1,000."""
    shown, other = compiled("A", 4, Band(8e6, 10e6, 12e6)), compiled("B", 2, Band(30e6, 40e6, 50e6))
    (both,) = told(monkeypatch, shown, other)
    assert both.cost_to_try.endswith("which pays back after about 1,000 steps of all kinds")
    (alone,) = told(monkeypatch, shown)
    assert "about 3,000 steps" in alone.cost_to_try


def test_one_kind_that_is_sure_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    likely, sure = compiled("A", 4, Band(0.0, 10e6, 12e6)), compiled("B", 2, Band(30e6, 40e6, 50e6))
    (both,) = told(monkeypatch, likely, sure)
    assert "if it saves what is likely" not in both.cost_to_try
    (unsure,) = told(monkeypatch, likely, compiled("B", 2, Band(0.0, 40e6, 50e6)))
    assert unsure.cost_to_try.endswith("if it saves what is likely")


def test_other_advice_is_paid_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    other = compiled("B", 2, Band(30e6, 40e6, 50e6), rule="rms_norm")
    found = told(monkeypatch, compiled("A", 4, Band(8e6, 10e6, 12e6)), other)
    assert [each.rule for each in found] == ["rms_norm", "pointwise_chain"]
    assert ["about 1,500 steps" in found[0].cost_to_try, "about 3,000 steps" in found[1].cost_to_try] == [
        True
    ] * 2


def test_what_has_no_price_in_steps_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = compiled("A", 4, Band(8e6, 10e6, 12e6))
    assert shown.found
    flag = replace(shown, found=(replace(shown.found[0], cost_to_try="one flag"),), compiling_ns=(0.0,))
    (both,) = told(monkeypatch, flag, compiled("B", 2, Band(30e6, 40e6, 50e6)))
    assert both.cost_to_try == "one flag"
