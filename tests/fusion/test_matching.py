"""Operators of one step found again in another; and what a real training proves of its own tensors."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from tests.files import loaded
from traceanalyzer.cost.price import price
from traceanalyzer.fusion.evidence.execution_trace import Executed, executed, flows
from traceanalyzer.fusion.step_ops import step_ops
from traceanalyzer.inference.align_steps import _common, _far_from_differences, matched
from traceanalyzer.inference.call_sites import with_call_sites
from traceanalyzer.records.trace import Ids, Trace

SCRIPT = """
import torch
from torch import nn
torch.manual_seed(0)
first, second, norm = nn.Linear(64, 128), nn.Linear(128, 64), nn.LayerNorm(64)
optimizer = torch.optim.SGD([*first.parameters(), *second.parameters(), *norm.parameters()], 0.1)
for i in range(12):
    x = torch.randn(32, 64)
    optimizer.zero_grad()
    y = norm(second(nn.functional.gelu(first(x))) * 2.0 + x)
    if i % 2:
        y = y.sigmoid()
    y.exp().sum().backward()
    optimizer.step()
"""


def numbered(letters: Sequence[str]) -> Ids:
    return np.array(list(map(ord, letters)), np.int32)


@pytest.mark.parametrize("seed", range(30))
def test_common_stretches_are_equal_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    left = [chance.choice("abc") for _ in range(chance.randrange(40))]
    right = list(left)
    for _ in range(chance.randrange(6)):
        place = chance.randrange(len(right) + 1)
        new = [chance.choice("abcd") for _ in range(chance.randrange(3))]
        right[place : place + chance.randrange(3)] = new
    seen: set[tuple[int, int]] = set()
    for a, b, size in _common(numbered(left), numbered(right)):
        assert left[a : a + size] == right[b : b + size]
        seen |= {(a + i, b + i) for i in range(size)}
    ordered = sorted(seen)
    assert [b for _, b in ordered] == sorted(b for _, b in ordered)
    assert len({a for a, _ in seen}) == len(seen) == len({b for _, b in seen})
    assert left != right or len(seen) == len(left)


@pytest.mark.parametrize("seed", range(30))
def test_as_much_is_common_as_can_be(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        left, right = ([chance.choice("abc") for _ in range(chance.randrange(9))] for _ in "12")
        assert sum(size for *_, size in _common(numbered(left), numbered(right))) == longest(left, right)


def longest(left: list[str], right: list[str]) -> int:
    """Length of the longest common subsequence, by the textbook's table."""
    row = [0] * (len(right) + 1)
    for a in left:
        new = [0]
        for j, b in enumerate(right):
            new.append(row[j] + 1 if a == b else max(row[j + 1], new[j]))
        row = new
    return row[-1]


def test_few_differences_far_apart_leave_the_rest_common() -> None:
    left = [str(place % 7) for place in range(20_000)]
    right = ["x", *left[:10_000], "y", *left[10_000:], "z"]
    assert sum(size for *_, size in _common(numbered(left), numbered(right))) == len(left)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--no-roofs"]
    subprocess.run([*command, "-o", "t.json.gz", "train.py"], cwd=folder, check=True, capture_output=True)
    return loaded(str(folder / "t.json.gz"))


def evidence(trace: Trace) -> Executed:
    assert trace.evidence is not None
    found = executed(trace.evidence)
    assert found is not None
    return found


def names_of(step: Executed) -> list[str]:
    return [step.names[name] for name in step.name]


def test_a_step_like_it_is_matched_whole_and_one_with_another_branch_in_part(trained: Trace) -> None:
    """Steps 5, 6 and 7 are recorded, and the evidence is of step 9: 6 goes another way."""
    given = evidence(trained)
    unmatched = []
    for rows in matched(names_of(given), given.thread, trained, trained.steps):
        assert len(set(rows[rows >= 0].tolist())) == int((rows >= 0).sum())
        for row, op in enumerate(rows.tolist()):
            assert op < 0 or given.names[given.name[row]] == trained.names[trained.ops.name[op]]
        unmatched.append({given.names[given.name[r]] for r in range(len(rows)) if rows[r] < 0})
    assert unmatched[0] == unmatched[2] == set()
    assert {"aten::sigmoid", "aten::sigmoid_backward"} <= unmatched[1]
    assert len(unmatched[1]) < 10


LINES = {
    "randn": 8,
    "addmm": 10,
    "gelu": 10,
    "mul": 10,
    "add": 10,
    "native_layer_norm": 10,
    "sigmoid": 12,
    "exp": 13,
}


def test_a_line_is_right_or_not_known(trained: Trace) -> None:
    """Of the step that goes another way nothing is known so close to it: it is short."""
    sites, ops = trained.call_sites, trained.ops
    for number, timed in enumerate(trained.steps):
        inside = (ops.start_ns >= timed.start_ns) & (ops.start_ns < timed.end_ns) & (ops.phase < 1)
        seen = {}
        for row in np.flatnonzero(inside & (sites.of_op >= 0)).tolist():
            seen.setdefault(
                trained.names[ops.name[row]].removeprefix("aten::"), sites.sites[sites.of_op[row]]
            )
        told = {name: site.line for name, site in seen.items() if name in LINES}
        assert told.items() <= LINES.items() if number == 1 else told == LINES, number
        assert {site.line_is for site in seen.values()} <= {"call"}


@pytest.mark.parametrize("damage", [
    {"site": [99]}, {"call_sites": {"sites": [[7, 3]]}}, {"site": "all"}, {"name": [5]}, {"thread": []},
])  # fmt: skip
def test_lines_that_cannot_be_read_are_left_out(trained: Trace, damage: dict[str, object]) -> None:
    good = {"names": ["a"], "name": [0], "thread": [1], "site": [0],
            "call_sites": {"functions": [["t.py", 1, "f", 3]], "sites": [[0, 2]]}}  # fmt: skip
    trace = msgspec.structs.replace(trained, evidence=json.dumps(good | damage), warnings=())
    damaged = with_call_sites(trace)
    assert [notice.code for notice in damaged.warnings] == ["evidence_unreadable"]
    assert (damaged.call_sites.at(np.arange(len(trained.ops), dtype=np.int32)) < 0).all()


@pytest.mark.parametrize("margin", [0, 1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_what_is_near_a_difference_is_left_out(seed: int, margin: int) -> None:
    chance = random.Random(seed)
    left = [chance.choice("abc") for _ in range(40)]
    right = left[:20] + ["x"] + left[20:]
    far = _far_from_differences(numbered(left), numbered(right), margin)
    near = {(a + i, b + i) for a, b, size in far for i in range(size)}
    every = {(i, i) for i in range(20 - margin)} | {(i, i + 1) for i in range(20 + margin, 40)}
    assert near == every


def test_a_training_proves_what_its_author_knows(trained: Trace) -> None:
    given, timed = evidence(trained), trained.steps[0]
    (rows,) = matched(names_of(given), given.thread, trained, [timed])
    working = set(step_ops(price(trained), timed).op.tolist())
    works = [op in working for op in rows.tolist()]
    name = [given.names[row].removeprefix("aten::") for row in given.name]
    seen = {(name[f.producer], name[f.consumer], f.bytes) for f in flows(given, works)}
    wide, narrow = 4 * 32 * 128, 4 * 32 * 64
    forward = {
        ("addmm", "gelu", wide), ("gelu", "addmm", wide), ("addmm", "mul", narrow), ("mul", "add", narrow),
        ("add", "native_layer_norm", narrow), ("native_layer_norm", "sigmoid", narrow),
        ("sigmoid", "exp", narrow), ("exp", "sum", narrow),
    }  # fmt: skip
    backward = {
        ("sigmoid", "sigmoid_backward", narrow),          # saved for the gradient
        ("add", "native_layer_norm_backward", narrow),    # its input
        ("addmm", "gelu_backward", wide), ("mm", "gelu_backward", wide),
        ("sigmoid_backward", "native_layer_norm_backward", narrow),
    }  # fmt: skip
    assert forward | backward <= seen
    assert not {("mul", "native_layer_norm", narrow), ("addmm", "native_layer_norm", narrow)} & seen
