"""What rules say of themselves, and what they find in steps written by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.trace.build import Rows
from traceanalyzer.cost.price import price
from traceanalyzer.device import DeviceMatch, named
from traceanalyzer.fusion.rules import RULES, Rule
from traceanalyzer.fusion.savings import WIDEST
from traceanalyzer.fusion.step_graph import StepGraph, step_graph
from traceanalyzer.fusion.suggestions import applied, suggestions
from traceanalyzer.records import Dims, OpCall
from traceanalyzer.records.trace import Trace
from traceanalyzer.roofline.judge import judge
from traceanalyzer.trace import select_window

X = (4096, 4096)
BYTES = 4 * 4096 * 4096
SLOW = 60_000  # ns: what a pass over X takes on the device below, and some more


def call(name: str, *shapes: Dims, concrete: tuple[str, ...] = ()) -> OpCall:
    return OpCall(name, shapes, tuple("fp32" if s else None for s in shapes),
                  tuple("float" if s else "Scalar" for s in shapes),
                  concrete=concrete or ("",) * len(shapes))  # fmt: skip


def step(*calls: OpCall, freed: bool = True, annotation: str = "") -> StepGraph:
    """One operator after another, each with a kernel; what each makes is freed while the next one works."""
    rows = Rows()
    if annotation:
        rows.annotation(annotation, 0, 1000 * len(calls) + 1000)
    for number, each in enumerate(calls):
        begin = 1000 * number + 10
        rows.op(each.name, begin, begin + 500, call=each)
        rows.launch(number, begin + 100)
        rows.kernel("kernel", 100_000 + SLOW * number * 2, 100_000 + SLOW * (number * 2 + 2) - 1, number)
        if freed:
            rows.allocation(begin + 20, 4096 * (number + 1), BYTES)
            rows.allocation(begin + 1300, 4096 * (number + 1), -BYTES)
    trace: Trace = rows.trace()
    return judged(trace)


def judged(trace: Trace) -> StepGraph:
    window, device = select_window(trace, 0, "complete"), DeviceMatch(named("h100-sxm5"))
    found = step_graph(judge(price(trace), 0, window, device))
    assert found is not None
    return found


def found(given: StepGraph) -> dict[str, int]:
    return {rule.name: len(matches) for rule, matches in applied(given) if matches}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_what_it_sees_suggests_saves_and_when_it_is_wrong(rule: Rule) -> None:
    headings = ("Seen", "Instead", "Saves", "When not", "Left out")
    assert [part.partition(":")[0] for part in rule.doc.split("\n\n")] == list(headings)
    assert all(len(rule.part(heading)) > 30 for heading in headings)
    assert rule.title[0].isupper() or rule.title.startswith(("fp32", "scaled_dot"))
    assert rule.action and rule.caveats and rule.docs.startswith("https://")


def test_names_and_titles_are_told_apart() -> None:
    assert len({rule.name for rule in RULES}) == len({rule.title for rule in RULES}) == len(RULES)


EXP, LOG, MUL = call("aten::exp", X), call("aten::log", X), call("aten::mul", X, X)
MM = call("aten::mm", X, X)  # behind a chain: the last operators of a step prove nothing


def test_a_chain_is_one_kernel() -> None:
    given = step(EXP, LOG, MUL, MM)
    assert found(given) == {"pointwise_chain": 1}
    ((match,),) = [matches for rule, matches in applied(given) if matches]
    assert match.tier == "T2" and match.after is not None
    assert match.after.bytes == 3 * BYTES, "x and the other factor are read, the product is written"
    assert match.bytes_saved == 7 * BYTES - 3 * BYTES


def test_zeros_that_are_filled_in_are_no_chain() -> None:
    assert "pointwise_chain" not in found(step(call("aten::zero_", X), EXP, MM))


def test_the_saving_is_the_time_less_what_remains() -> None:
    (told,) = suggestions(step(EXP, LOG, MUL, MM)).found or ()
    band = told.saving_per_step_ns
    assert band is not None and told.share_of_step is not None
    time = 3 * (2 * SLOW - 1)
    remains = 3 * BYTES / named("h100-sxm5").bandwidth_bytes_per_s * 1e9  # type: ignore[operator]
    floor = 2000  # of one kernel: the trace has too few short ones to tell
    assert band.mid == pytest.approx(time - floor - remains / 0.99)
    assert 0 < band.low < band.mid < band.high <= WIDEST * band.low


def test_a_likely_chain_may_save_nothing() -> None:
    (told,) = suggestions(step(EXP, LOG, MUL, freed=False)).found or ()
    assert told.tier == "T3" and told.saving_per_step_ns is not None and told.saving_per_step_ns.low == 0


def test_nothing_joins_over_a_product() -> None:
    mm = call("aten::mm", X, X)
    assert "pointwise_chain" not in found(step(EXP, mm, LOG))


def test_other_sizes_do_not_join() -> None:
    assert "pointwise_chain" not in found(step(EXP, call("aten::log", (64, 64)), freed=False))


def test_what_is_compiled_is_left_alone() -> None:
    triton = [replace(each, triton=True) for each in (EXP, LOG, MUL)]
    assert not found(step(*triton))


S, Q, K = (16, 1024, 1024), (16, 1024, 64), (16, 64, 1024)
ATTENTION = (
    call("aten::bmm", Q, K), call("aten::div", S, ()),
    call("aten::_softmax", S, (), (), concrete=("", "-1", "False")), call("aten::bmm", S, Q),
)  # fmt: skip


def test_attention_is_found_by_its_scores() -> None:
    given = step(*ATTENTION)
    assert found(given) == {"unfused_attention": 1}
    ((match,),) = [matches for rule, matches in applied(given) if matches]
    assert match.after is not None
    assert match.after.bytes == 4 * 4 * 16 * 1024 * 64, "queries, keys, values and the result"
    assert match.after.matrix == (("fp32", 2 * 2 * 16 * 1024 * 1024 * 64),)


def test_an_optimizer_of_many_passes_is_fused() -> None:
    calls = [call(f"aten::{name}", X, *more) for name, more in (
        ("mul_", ((),)), ("lerp_", (X, ())), ("mul_", ((),)), ("addcmul_", (X, X, ())), ("sqrt", ()),
        ("div_", ((),)), ("add_", ((),)), ("addcdiv_", (X, X, ())),
    )]  # fmt: skip
    given = step(*calls, freed=False, annotation="Optimizer.step#AdamW.step")
    ((match,),) = [matches for rule, matches in applied(given) if rule.name == "fused_optimizer" and matches]
    assert match.after is not None and match.after.bytes == 7 * BYTES and match.tier == "T0"


def test_a_fused_optimizer_is_left_alone() -> None:
    fused = call("aten::_fused_adamw_", (X,), (X,), (X,), (X,))
    assert not found(step(fused, freed=False, annotation="Optimizer.step#AdamW.step"))


def test_no_operator_is_claimed_twice() -> None:
    given = step(*ATTENTION, EXP, LOG, MUL)
    places = [node.place for _, matches in applied(given) for match in matches for node in match.nodes]
    assert len(places) == len(set(places)) == 7
