"""The requests of a step of a serving engine, which it writes into the step's name.

vLLM and SGLang name a step `execute_36_context_2(sq4sk90sqsq10sqsk150)_generation_32(sq32sk..)`: of prompts
and of generations how many there are, and sums over them of new tokens q, of tokens in all k, of q * q and of
q * k (sgl-project/sglang: scheduler profiler, roofline annotations). Older names give tokens alone, which
decide no attention.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from traceanalyzer.records import OpCall, Sequences
from traceanalyzer.records.trace import OpKind, Ops, nearest, passes

Batch = tuple[Sequences, Sequences]
_SUMS = r"(\d{1,18})\(sq(\d{1,18})sk(\d{1,18})sqsq(\d{1,18})sqsk(\d{1,18})\)"
_STEP = re.compile(rf"execute_\d+_context_{_SUMS}_generation_{_SUMS}$")
_PAGED = re.compile(r"vllm::unified_attention(?:_with_output)?$")


def batches(names: Sequence[str], ops: Ops, calls: Sequence[OpCall]) -> dict[int, Batch]:
    """Row in `ops` of an attention over a paged cache -> the requests of the step that it is in."""
    wanted = np.flatnonzero(passes(names, ops.name, _PAGED.match) & (ops.call >= 0))
    if not len(wanted):
        return {}
    step = nearest(ops.parent, (ops.kind == OpKind.ANNOTATION) & passes(names, ops.name, _STEP.match))
    steps = ((row, _batch(names[ops.name[step[row]]])) for row in wanted.tolist() if step[row] >= 0)
    return {row: batch for row, batch in steps if batch is not None}


def _batch(name: str) -> Batch | None:
    match = _STEP.match(name)
    if match is None:
        return None
    sums = [int(text) for text in match.groups()]
    return Sequences(*sums[:5]), Sequences(*sums[5:])
