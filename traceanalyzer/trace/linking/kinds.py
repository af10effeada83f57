"""The kind of a host interval, by its name: operator, annotation, autograd node, compiled region."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from traceanalyzer.records.trace import Bools, Codes, Ids, OpKind, passes

EVALUATE = "autograd::engine::evaluate_function: "  # opened by the engine round each node
# A node bears the name of its C++ class or that of the Python Function with `Backward` behind it;
# digits distinguish overloads (torch/csrc/autograd/function.h, name()).
_NODE = re.compile(rf"{EVALUATE}|torch::autograd::|.*Backward\d*$")
# torch/_dynamo/eval_frame.py, torch/_functorch/_aot_autograd, torch/_inductor/output_code.py
_COMPILED = re.compile(
    r"CompiledFunction(?:Backward)?\d*$|(?:## Call )?CompiledFxGraph|Torch-Compiled Region|CompiledAutograd"
)
_GRAPH_LAUNCH = re.compile(r"graph_?launch", re.IGNORECASE)  # cudaGraphLaunch, hipGraphLaunch, cuGraphLaunch


def kinds(names: Sequence[str], name: Ids, annotation: Bools) -> Codes:
    """OpKind of each interval."""
    kind_of_op = np.full(len(name), OpKind.OP, np.int8)
    kind_of_op[passes(names, name, _NODE.match)] = OpKind.AUTOGRAD
    kind_of_op[annotation] = OpKind.ANNOTATION
    kind_of_op[passes(names, name, _COMPILED.match)] = OpKind.COMPILED
    return kind_of_op


def is_backward_region(name: str) -> bool:
    """A compiled region of the backward pass."""
    return name.startswith("CompiledFunctionBackward")


def is_graph_launch(name: str) -> bool:
    """A runtime or driver call that starts a whole captured graph."""
    return _GRAPH_LAUNCH.search(name) is not None
