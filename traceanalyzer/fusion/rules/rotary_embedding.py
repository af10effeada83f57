"""Seen: rotary position embeddings written out: multiplications, slices, a negation, a concatenation, an
addition.

Instead: `torch.compile` for the function that rotates, or Liger's or Apex's rotary kernel.

Saves: eight of ten passes over queries and keys.

When not: the angles themselves are computed anew in every layer: then compute them once before.

Left out: rotations with complex numbers, for which the compiler generates no code; operators of libraries;
negations of anything but one half.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from traceanalyzer.fusion.rules.base import (
    COMPILE_DOCS,
    Match,
    Rule,
    compilable,
    generated,
    sequences,
    surest,
)
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_TENSOR = r"(?:mul )?neg (?:cat|stack) mul (?:mul )?add "
_WRITTEN_OUT = re.compile(rf"(?<!\S)(?:{_TENSOR}){{1,2}}")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """The sequence as most models write it, for queries or for queries and keys."""
    for nodes in sequences(graph, compilable(graph, free), _WRITTEN_OUT, ("neg",)):
        sums = [node.cost for node in nodes if node.name == "add" and node.cost]
        if not sums or any(node.cost is None for node in nodes) or not _halves(nodes):
            continue
        after = generated(graph, nodes, 2 * sum(cost.write_bytes for cost in sums))
        saved = sum(node.bytes for node in nodes) - after.bytes
        if saved > 0:
            yield Match(tuple(nodes), surest(graph, nodes), after, bytes_saved=saved)


def _halves(nodes: Sequence[Node]) -> bool:
    """Whether each negation is of half of what is concatenated and multiplied behind it."""
    triples = zip(nodes, nodes[1:], nodes[2:], strict=False)
    return all(2 * first.elements == third.elements for first, _, third in triples if first.name == "neg")


RULE = Rule(
    "rotary_embedding", __doc__ or "", find,
    title="Rotary embeddings are written out",
    action="Compile the function that applies the embeddings{ in module}, or use a fused rotary kernel.",
    snippet="apply_rotary = torch.compile(apply_rotary)",
    caveats=("sines and cosines that are computed in every layer are a saving of their own",),
    docs=COMPILE_DOCS,
    replacement="compiled",
)  # fmt: skip
