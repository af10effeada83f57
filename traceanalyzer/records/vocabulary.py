"""The closed lists of words that reports use; what each means is in docs/cost-model.md and docs/time.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

LineIs = Literal["call", "function"]
"""The line of the call, or the one where its function begins."""
Bound = Literal["compute", "memory"]
Limiter = Literal["memory", "compute", "neither"]
Verdict = Literal["compute_bound", "memory_bound", "latency_bound", "communication", "copy", "unmodelled"]
OperatorClass = Literal[
    "tensor_contraction", "statistical_normalization", "element_wise", "communication", "copy", "other"
]
Flag = Literal[
    "inefficient", "balanced", "cache_resident", "over_roof", "bytes_only", "tf32_assumed",
    "special_function_heavy", "borrowed_shapes", "bounded", "zero_duration",
]  # fmt: skip
IdleCause = Literal[
    "launch_gap", "synchronisation", "host_to_device_copy", "data_loading", "memory_allocation",
    "compilation", "first_use", "profiler", "host_work", "unknown",
]  # fmt: skip
Phase = Literal["forward", "backward", "optimizer", "recompute"]

VERDICTS: tuple[Verdict, ...] = (
    "compute_bound", "memory_bound", "latency_bound", "communication", "copy", "unmodelled",
)  # fmt: skip
OPERATOR_CLASSES: tuple[OperatorClass, ...] = (
    "tensor_contraction", "statistical_normalization", "element_wise", "communication", "copy", "other",
)  # fmt: skip
IDLE_CAUSES: tuple[IdleCause, ...] = (
    "launch_gap", "synchronisation", "host_to_device_copy", "data_loading", "memory_allocation",
    "compilation", "first_use", "profiler", "host_work", "unknown",
)  # fmt: skip

RULE_BY_CAUSE: Mapping[IdleCause, str] = {
    "launch_gap": "launch_bound",
    "synchronisation": "synchronisation",
    "host_to_device_copy": "unpinned_memory",
    "data_loading": "data_loading",
    "memory_allocation": "memory_allocation",
    "compilation": "recompilation",
    "host_work": "host_work",
}
"""What shortens idle time of a cause."""
IDLE_RULES = (*RULE_BY_CAUSE.values(), "checkpoint_saving", "small_copies", "compiled_launches")
"""Names of the rules that shorten idle time, and nothing else."""

OF_CONFIGURATION = ("attention_fallback",)
"""Rules whose change is one of a model's settings, whatever code reads it."""
SHARING_ON_CPU = ("kept_pages", "channels_last")
"""Names of the rules that on a CPU save of operators which others make faster too; none is ever proved."""

RULES_TO_VERIFY = (
    "attention_fallback", "unfused_attention", "fused_optimizer", "cross_entropy", "rms_norm",
    "rotary_embedding", "dropout_chain", "residual_norm", "gated_activation", "batch_norm_activation",
    "pointwise_chain",
)  # fmt: skip
"""Names of the rules whose largest match `verify` rebuilds and times."""

NEXT_TO_NOTHING = "it is there, and would save next to nothing"
"""Why a rule that was found is no suggestion."""
BEYOND_RATE = "a CPU's functions or random numbers, faster than the rate that was measured"
"""Why a row is above what a function's own rate allows, which is no roof of other rows."""
FEWER_PRODUCTS = "Winograd and FFT convolutions execute fewer multiplications than the direct sum"
"""A reason for which rows exceed their roof that says nothing against the roof."""

LEAST_MODELLED = 0.05
"""Of kernel time modelled: below it there is nothing to say about how much is memory-bound."""

COMPILED_CODE = ("CompiledFxGraph", "CompiledFunction", "Torch-Compiled Region", "torchinductor")
"""What a recording calls code that torch.compile generated, and what runs it on the host."""
