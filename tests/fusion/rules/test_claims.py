"""Over all rules: the time of no operator is counted twice."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from tests.fusion.rules import test_channels_last as layout
from tests.fusion.rules import test_cross_entropy as loss
from tests.fusion.rules import test_embedding_backward as embedding
from tests.fusion.rules import test_fold_batch_norm as norm
from tests.fusion.rules import test_fp8_matmul as fp8
from tests.fusion.rules import test_quantized_weights as quantized
from tests.fusion.rules import test_recomputation as checkpoint
from tests.fusion.rules import test_tf32_products as tf32
from tests.fusion.rules import test_unaligned_gemm as unaligned
from tests.fusion.rules import test_unfused_attention as attention
from tests.fusion.scenes import Item, annotation, backward, forward, handed, inside, op, scene
from traceanalyzer.fusion.rules import RULES, Match
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import applied, suggestions

X = (4096, 4096)


def chain() -> list[Item]:
    return [op("exp", X), op("log", X), op("mul", X, X), op("mm", X, X, kernel=tf32.SGEMM, ns=9_000_000)]


def written_out(kernel: str) -> list[Item]:
    """Attention in fp32 on the vector engine: both rules want its matmuls."""
    first, scaled, softmax, second = attention.attention(dtype="fp32")
    shapes = [item.call.shapes for item in (first, second) if item.call is not None]
    slow = [op("bmm", *given, kernel=kernel, ns=2_000_000) for given in shapes]
    return [slow[0], scaled, softmax, slow[1]]


def trained() -> list[Item]:
    again = [forward(item, 50 + n) for n, item in enumerate([*chain(), *chain()])]
    grad = backward("MmBackward0", op("mm", X, X, kernel=tf32.SGEMM, ns=9_000_000), sequence=50)
    checkpointed = forward(op("CheckpointFunction", kernels=(), inner=tuple(chain())), 40)
    return [
        *attention.attention(), *embedding.step(embedding.gradient()), *loss.loss(), *attention.gradients(),
        checkpointed, backward("CheckpointFunctionBackward", *again, grad, sequence=40),
        annotation("Optimizer.step#AdamW.step", op("mul_", X, X), op("addcmul_", X, X), op("sqrt_", X)),
    ]  # fmt: skip


SCENES: dict[str, StepGraph] = {
    "chain": scene(*chain(), freed=True, steps=2),
    "slow attention": scene(*written_out(tf32.SGEMM), tf32.mm(), *chain(), steps=2),
    "fallback": scene(inside("scaled_dot_product_attention", *attention.attention()), *attention.gradients()),
    "training": scene(*trained(), device=tf32.A100, steps=2, freed=True),
    "training on a CPU": scene(*trained(), on_cpu=True, steps=2, freed=True),
    "recomputation": checkpoint.again(checkpoint.MM, checkpoint.SIN),
    "decoding": handed(
        scene(*[quantized.decoding()] * 3), tensors={(n, 0): (-1, (1, 0, 8)) for n in range(3)}),
    "half": scene(*[fp8.mm()] * 12, unaligned.mm(4096, 4096, 50257), *chain(), freed=True),
    "images": handed(scene(layout.convolution(), norm.convolution(), norm.norm(), device=tf32.A100), (1, 2)),
    "slow images": scene(tf32.convolution("False"), tf32.convolution("False"), device=tf32.A100),
}  # fmt: skip


@pytest.mark.parametrize("graph", SCENES.values(), ids=SCENES)
def test_no_operator_is_in_two_timed_matches(graph: StepGraph) -> None:
    timed = Counter(
        node.place for _, matches in applied(graph) for match in matches
        if match.saved is not None or match.after is not None for node in match.nodes
    )  # fmt: skip
    assert timed, "a scene in which nothing is found proves nothing"
    assert max(timed.values()) == 1, [graph.nodes[place].name for place, n in timed.items() if n > 1]


@pytest.mark.parametrize("graph", [
    scene(op("silu", X), op("mm", X, X), op("mul", X, X), op("mm", X, X), op("mul", X, X)),
    scene(*[op("bmm", (16, 1024, 1024), (16, 1024, 1024)), op("_softmax", (16, 1024, 1024))] * 2,
          op("bmm", (16, 1024, 1024), (16, 1024, 1024))),
], ids=["one gate of two products", "two softmaxes in a row"])  # fmt: skip
def test_no_operator_is_in_two_matches_of_one_rule(graph: StepGraph) -> None:
    for rule, matches in applied(handed(graph, (0, 2), (0, 4))):
        places = [node.place for match in matches if match.claims for node in match.nodes]
        assert len(places) == len(set(places)), rule.name


def test_a_rule_that_claims_an_operator_twice_has_its_first_match(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = scene(op("exp", X), op("log", X), op("sin", X))
    first, second, third = graph.nodes
    greedy = replace(
        RULES[0],
        find=lambda *_: iter(
            [Match((first, second), "T3"), Match((second, third), "T3"), Match((third,), "T3")]
        ),
    )
    monkeypatch.setattr("traceanalyzer.fusion.suggestions.RULES", (greedy,))
    ((_, matches),) = applied(graph)
    assert [match.nodes for match in matches] == [(first, second), (third,)]


@pytest.mark.parametrize("graph", SCENES.values(), ids=SCENES)
def test_only_matches_without_a_time_leave_their_operators_to_others(graph: StepGraph) -> None:
    for rule, matches in applied(graph):
        for match in matches:
            timed = match.saved is not None or match.after is not None
            assert match.claims or not timed, rule.name
            assert (
                match.nodes or not timed or rule.find.__module__.endswith(("launch_bound", "communication"))
            )


@pytest.mark.parametrize("graph", SCENES.values(), ids=SCENES)
def test_all_savings_together_are_less_than_the_time_of_a_step(graph: StepGraph) -> None:
    bands = [
        told.saving_per_step_ns
        for told in suggestions(graph).found or ()
        if told.saving_per_step_ns is not None
    ]
    assert sum(band.mid for band in bands) <= sum(node.time_ns for node in graph.nodes)


def test_attention_has_its_matmuls_to_itself() -> None:
    found = {rule.name: [node.name for match in matches for node in match.nodes]
             for rule, matches in applied(SCENES["slow attention"]) if matches}  # fmt: skip
    assert found["unfused_attention"].count("bmm") == 2
    assert set(found["tf32_products"]) == {"mm"}
