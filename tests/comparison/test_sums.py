"""Every sum of a comparison is exact, whatever the sides."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import traceanalyzer
from tests.comparison.sides import row, run
from traceanalyzer.comparison.apportion import apportioned, per_step
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Comparison, Job, OpRow
from traceanalyzer.records.errors import UsageError

WEIGHTS = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 10**18), max_size=8)


@given(st.integers(0, 10**19), WEIGHTS)
def test_shares_add_up_and_none_is_off_by_one(whole: int, weights: dict[str, int]) -> None:
    shares = apportioned(whole, weights)
    assert shares.keys() == weights.keys()
    total = sum(weights.values())
    if not total:
        assert not any(shares.values())
        return
    assert sum(shares.values()) == whole
    exact = {name: Fraction(whole * weight, total) for name, weight in weights.items()}
    assert all(abs(shares[name] - exact[name]) < 1 for name in weights)
    up = {name for name in weights if shares[name] > exact[name]}
    down = {name for name in weights if shares[name] < exact[name]}
    rest = {name: exact[name] - exact[name].__floor__() for name in weights}
    assert all((rest[a], b) >= (rest[b], a) for a in up for b in down), "largest remainder, then by name"


@given(st.integers(0, 10**19), st.integers(1, 10**6))
def test_a_step_is_rounded_half_up(total: int, steps: int) -> None:
    assert per_step(total, steps) == (Fraction(total, steps) + Fraction(1, 2)).__floor__()


def holds(comparison: Comparison, base: list[Job], head: list[Job]) -> None:
    """All identities of a comparison, and that each row of a side is in exactly one entry."""
    c = comparison
    assert sum(op.change_ns for op in c.ops) == c.busy_ns.change
    assert sum(part.change for part in c.idle_by_cause) == c.idle_ns.change
    assert c.busy_ns.change + c.idle_ns.change == c.window_ns.change
    assert sum(verdict.change for verdict in c.verdicts) == c.busy_ns.change
    for side, runs in (("base", base), ("head", head)):
        steps = sum(each.window.step_count or 1 for each in runs)
        window = Fraction(sum(each.window.window_ns for each in runs), steps)
        assert abs(getattr(c.window_ns, side) - window) <= Fraction(1, 2)
        assert sum(getattr(op, f"{side}_ns") for op in c.ops) == getattr(c.busy_ns, side)
        assert sum(getattr(v, side) for v in c.verdicts) == getattr(c.busy_ns, side)
        assert sum(getattr(i, side) for i in c.idle_by_cause) == getattr(c.idle_ns, side)
        rows = [row for op in c.ops for row in getattr(op, side)]
        assert sum(row.attributed_ns for row in rows) == getattr(c.busy_ns, side)
        distinct = {
            (r.name, r.input_dims, r.input_types, r.input_strides, r.concrete_inputs, r.phase, r.module,
             r.reason if r.input_dims is None else None) for each in runs for r in each.op_rows
        }  # fmt: skip
        assert len(rows) == len(distinct)
    for op in c.ops:
        assert op.change_ns == op.head_ns - op.base_ns
        assert {"vanished": (True, False), "appeared": (False, True)}.get(op.match, (True, True)) == (
            bool(op.base), bool(op.head))  # fmt: skip


NAMES = [
    "mul", "add", "mm", "_softmax", "bmm", "triton_poi_fused_add_mul_0", "_foreach_add_", "_fused_adamw_",
    "_scaled_dot_product_flash_attention", "copy_", "native_layer_norm", "cpp_fused_mul_1",
]  # fmt: skip
ROWS = st.lists(
    st.builds(
        lambda name, ns, size, phase, module, dtype: row(
            name, ns, (size, 4), (4, size), phase=phase, module=module, dtype=dtype
        ),
        st.sampled_from(NAMES), st.integers(0, 10**9), st.sampled_from([2, 8]),
        st.sampled_from(["forward", "backward", "optimizer", None]), st.sampled_from([None, "a", "b"]),
        st.sampled_from(["bf16", "fp32"]),
    ),
    max_size=8,
)  # fmt: skip


def distinct(rows: list[OpRow]) -> list[OpRow]:
    return list({(r.name, r.input_dims, r.input_types, r.phase, r.module): r for r in rows}.values())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(ROWS, st.integers(0, 10**9)), min_size=1, max_size=3),
    st.lists(st.tuples(ROWS, st.integers(0, 10**9)), min_size=1, max_size=3),
    st.sampled_from([None, 1, 3, 7]),
)
def test_made_pairs(
    base: list[tuple[list[OpRow], int]], head: list[tuple[list[OpRow], int]], steps: int | None
) -> None:
    sides = [
        [run(*distinct(rows), idle_ns=idle, steps=steps) for rows, idle in side] for side in (base, head)
    ]
    holds(comparison_of(*sides), *sides)


def test_a_side_beside_itself_has_no_change() -> None:
    side = [run(row("mul", 3_000_001, (8, 8)), row("mm", 9_000_002, (8, 8), (8, 8)))]
    comparison = comparison_of(side, side)
    assert not any(op.change_ns for op in comparison.ops) and comparison.culprit is None
    assert {op.match for op in comparison.ops} == {"matched"} and comparison.same_work.same


@pytest.mark.slow
def test_pairs_of_real_traces(real_traces: Path) -> None:
    """Each with every other: whatever has nothing in common adds up too."""
    files = sorted(path for path in real_traces.glob("*.json.gz") if not path.name.startswith("not_"))
    files += [*real_traces.glob("train_megatron_tp8_a100")]
    analyses = [traceanalyzer.analyze(path, options=AnalyzeOptions(kernels=False)) for path in files]
    assert len(analyses) >= 25
    for base, head in permutations(analyses, 2):
        holds(comparison_of([base], [head]), [base], [head])
    for base, head in pairwise(analyses):
        if (base.window.step_count is None) == (head.window.step_count is None):
            holds(comparison_of([head, base], [base]), [head, base], [base])
        else:
            with pytest.raises(UsageError, match="has no steps, other runs of its side have"):
                comparison_of([head, base], [base])
