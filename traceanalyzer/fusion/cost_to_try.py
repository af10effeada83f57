"""What a suggestion costs to try: what has to be changed; how long a compiler takes, and when that pays back.

A compilation takes some seconds to start, and more for each operator that is traced and each kernel that a
compiler is run for; alike ones are compiled once. Fitted to ten models on a CPU with two cores, whose times
it meets within a fifth (docs/savings.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from traceanalyzer.fusion.module_names import is_in_any, module_calls
from traceanalyzer.fusion.rules.data_loading import places_in_loader
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration

WHOLE_MODEL = "model = torch.compile(model"
PAYS_BACK = "pays back"
_START_NS, _OPERATOR_NS, _KERNEL_NS = 5.9e9, 26e6, 890e6
_FLAG, _ARGUMENT, _VARIABLE = "one flag", "one argument", "one environment variable"
_FORWARD, _LOOP = "a rewrite of forward", "a change to the training loop"
_ON_GPU = "one line; compiling comes once per process, at the first step: how long was not measured"
_WRAPPERS = ("DistributedDataParallel", "FullyShardedDataParallel")
CHANGES = {
    "accidental_fp64": "a line where the tensor is made",
    "attention_fallback": _ARGUMENT,
    "unfused_attention": _FORWARD,
    "fused_optimizer": _FLAG,
    "zero_grad": _ARGUMENT,
    "gradient_clipping": _ARGUMENT,
    "repeated_casts": "a line where the weight is cast",
    "gradient_accumulation": _LOOP,
    "fold_batch_norm": "one call when the model is loaded",
    "rms_norm": _FORWARD,
    "bias_addition": _FORWARD,
    "tf32_products": "one line at the start",
    "slow_precision": "one line",
    "half_precision": "one line round the forward pass",
    "embedding_backward": "one flag, and an optimizer for the table",
    "fp8_matmul": "a conversion of the model, and a look at its accuracy",
    "unaligned_gemm": "other sizes of the model",
    "sparse_weights": "a conversion of the model, and a look at its accuracy",
    "merged_linear": "a rewrite of forward, and of checkpoints",
    "quantized_weights": "a conversion of the model, and a look at its accuracy",
    "layout_copies": _FORWARD,
    "recomputation": _FLAG,
    "channels_last": "two lines",
    "synchronisation": _LOOP,
    "exposed_communication": "a change to where collectives start, and where they are waited for",
    "data_parallel": "another way to start the script",
    "unpinned_memory": _ARGUMENT,
    "data_loading": "two arguments of the DataLoader",
    "small_copies": _LOOP,
    "memory_allocation": _VARIABLE,
    "recompilation": "a line for each size that changes",
    "checkpoint_saving": _LOOP,
    "host_work": _LOOP,
    "compiled_launches": _ARGUMENT,
    "kept_pages": _VARIABLE,
    "small_operators": _VARIABLE,
}
"""Of rules whose remedy is no compiler: what has to be changed."""


def cost_to_try(
    graph: StepGraph, rule: str, nodes: Sequence[Node], where: str, snippet: str, band: Band | None
) -> str:
    """In words; "" where it is not known. `where`: the module that holds the nodes, of several one.

    `band`: the saving as it is told; None where it is no prediction.
    """
    ns = compiling_ns(graph, nodes, where, snippet)
    if not ns:
        wrapper = next((name for name in _WRAPPERS if f"{name}(" in snippet), None)
        if rule == "data_loading" and "DataLoader(" not in snippet:
            return "an argument of the library's call, or a faster preprocessor"
        tuned = wrapper and rule == "exposed_communication"
        return f"an argument of {wrapper}" if tuned else CHANGES.get(rule, "")
    steps = graph.step_kind
    of_all = band.mid * (steps.steps / steps.of if steps else 1.0) if band and graph.has_steps else 0.0
    sure = band is not None and band.low > 0
    if graph.on_gpu:  # the seconds are a CPU's, and say little of what a compiler for a GPU takes
        return _ON_GPU
    return compiling(ns, of_all, of_all_kinds=steps is not None, sure=sure)


def compiling(ns: float, saved_ns: float, *, of_all_kinds: bool, sure: bool) -> str:
    """What compiling takes on a CPU, and after how many steps that save so much each it is paid back."""
    text = f"one line; compiling takes about {duration(ns, 1)} at the first step"
    if saved_ns <= 0:
        return text
    pays = f"{PAYS_BACK} after about {ceil(ns / saved_ns):,} steps{' of all kinds' if of_all_kinds else ''}"
    return f"{text}, which {pays}" if sure else f"{text}, which {pays} if it saves what is likely"


def compiling_ns(graph: StepGraph, nodes: Sequence[Node], where: str, snippet: str) -> float:
    """What a compiler takes for what the snippet compiles; 0 where that is nothing."""
    if WHOLE_MODEL in snippet:
        return graph.once(_whole_model_ns)
    compiled = compiled_nodes(graph, nodes, where, snippet)
    return compile_ns(_called_once(graph, compiled, where)) if compiled else 0.0


def _whole_model_ns(graph: StepGraph) -> float:
    passes = graph.once(_passes_of_model)
    return compile_ns(_called_once(graph, passes, "")) if passes else 0.0


def compile_ns(nodes: Iterable[Node]) -> float:
    """What PyTorch's compiler takes for the first time, nothing of it in its caches."""
    kernels: set[tuple[int, ...]] = set()
    run: list[int] = []
    count = 0
    for node in nodes:
        count += 1
        if node.fusible != "opaque":
            run.append(id(node.call))
        elif run:
            kernels.add(tuple(run))
            run = []
    if run:
        kernels.add(tuple(run))
    return _START_NS + count * _OPERATOR_NS + len(kernels) * _KERNEL_NS


def compiled_path(where: str, snippet: str) -> str:
    """Of the modules that the snippet compiles, as a pattern; "" of the whole model."""
    return "" if WHOLE_MODEL in snippet else where


def compiled_nodes(graph: StepGraph, nodes: Sequence[Node], where: str, snippet: str) -> Sequence[Node]:
    """All that the snippet compiles: the model's passes, the modules of these names, or these nodes alone.

    `where`: the module that is compiled, as a pattern where several alike are.
    """
    if "compile(" not in snippet:
        return ()
    if WHOLE_MODEL in snippet:
        return graph.once(_passes_of_model)
    inside = {module for module in {node.module for node in graph.nodes} if is_in_any(module, where)}
    within = [node for node in graph.nodes if node.module in inside]
    return within or sorted(nodes, key=lambda node: node.place)


def _passes_of_model(graph: StepGraph) -> Sequence[Node]:
    """Without the optimizer, and without operators that the DataLoader runs."""
    loading = places_in_loader(graph)
    return [node for node in graph.nodes if node.phase != "optimizer" and node.place not in loading]


def _called_once(graph: StepGraph, compiled: Sequence[Node], path: str) -> Sequence[Node]:
    """Of what is compiled one call of each module, the longest: that is traced once, however many there are.

    All of it where no call is annotated.
    """
    calls, ops = module_calls(graph, path), graph.trace.ops
    of_call: dict[int, list[Node]] = {}
    for node in compiled:
        of_call.setdefault(calls[node.place], []).append(node)
    longest: dict[int, list[Node]] = {}
    for row, within in of_call.items():
        name = int(ops.name[row]) if row >= 0 else -1
        if row >= 0 and len(within) > len(longest.get(name, ())):
            longest[name] = within
    once = [node for within in longest.values() for node in within]
    return sorted(once, key=lambda node: node.place) or compiled
