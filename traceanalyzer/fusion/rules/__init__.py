"""The rules, one file each, in the order in which they claim operators: the special before the general.

First types that nobody meant, which hide other gains; then what replaces several operators at once
(attention, optimizers, losses, norms); then what changes how single ones run (TF32, types of weights); then
chains that a compiler makes one kernel of, from what is left; recomputation, which counts what none of these
speeds up; and last what may save nothing (layouts, epilogues).
A rule that never predicts a time claims nothing: what it names is left to the others.

A new rule is a new file with a RULE in it, imported and listed here.
"""

from __future__ import annotations

from traceanalyzer.fusion.rules import (
    accidental_fp64,
    activation_epilogue,
    attention_fallback,
    batch_norm_activation,
    bias_addition,
    channels_last,
    checkpoint_saving,
    compiled_launches,
    cross_entropy,
    data_loading,
    data_parallel,
    dropout_chain,
    embedding_backward,
    exposed_communication,
    fold_batch_norm,
    fp8_matmul,
    fused_optimizer,
    gated_activation,
    gradient_accumulation,
    gradient_clipping,
    half_precision,
    host_work,
    kept_pages,
    launch_bound,
    layout_copies,
    memory_allocation,
    merged_linear,
    pointwise_chain,
    quantized_weights,
    recompilation,
    recomputation,
    repeated_casts,
    residual_norm,
    rms_norm,
    rotary_embedding,
    slow_precision,
    small_copies,
    small_operators,
    sparse_weights,
    synchronisation,
    tf32_products,
    unaligned_gemm,
    unfused_attention,
    unpinned_memory,
    zero_grad,
)
from traceanalyzer.fusion.rules.base import Match, Rule

__all__ = ["ALIASES", "RULES", "Match", "Rule", "rule_named"]

RULES: tuple[Rule, ...] = (
    accidental_fp64.RULE,
    attention_fallback.RULE,
    unfused_attention.RULE,
    fused_optimizer.RULE,
    zero_grad.RULE,
    gradient_clipping.RULE,
    repeated_casts.RULE,
    gradient_accumulation.RULE,
    cross_entropy.RULE,
    fold_batch_norm.RULE,
    rms_norm.RULE,
    rotary_embedding.RULE,
    bias_addition.RULE,
    dropout_chain.RULE,
    residual_norm.RULE,
    gated_activation.RULE,
    batch_norm_activation.RULE,
    tf32_products.RULE,
    slow_precision.RULE,
    half_precision.RULE,
    embedding_backward.RULE,
    fp8_matmul.RULE,
    unaligned_gemm.RULE,
    sparse_weights.RULE,
    merged_linear.RULE,
    quantized_weights.RULE,
    layout_copies.RULE,
    pointwise_chain.RULE,
    recomputation.RULE,
    channels_last.RULE,
    activation_epilogue.RULE,
    launch_bound.RULE,
    synchronisation.RULE,
    exposed_communication.RULE,
    data_parallel.RULE,
    unpinned_memory.RULE,
    data_loading.RULE,
    small_copies.RULE,
    memory_allocation.RULE,
    recompilation.RULE,
    checkpoint_saving.RULE,
    host_work.RULE,
    compiled_launches.RULE,
    kept_pages.RULE,
    small_operators.RULE,
)

ALIASES = {
    "attention_by_hand": "unfused_attention",
    "eight_bit_products": "fp8_matmul",
    "merged_products": "merged_linear",
    "misaligned_products": "unaligned_gemm",
    "pageable_copies": "unpinned_memory",
    "cast_churn": "repeated_casts",
}
"""Names that rules had before -> their names today; `explain` and `verify` take either."""


def rule_named(name: str) -> Rule | None:
    """The rule of this name, or of this older name; None where there is none."""
    wanted = ALIASES.get(name, name)
    return next((rule for rule in RULES if rule.name == wanted), None)
