"""Utilization of the peak: model FLOPs utilization (MFU), and with recomputation that of the hardware.

MFU: FLOPs of contractions (matmuls, convolutions, attention) without recomputation / (window x dense peak of
the engine and precision that most of them run in). A. Chowdhery et al., PaLM (2022), appendix B. Recomputed
are what activation checkpointing runs again, and the scores in the backward pass of fused attention: the
attention of a training step counts three times its forward pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from traceanalyzer.assembly.totals import share
from traceanalyzer.records import Compute, Device, OpRow, Peak

_COVERED = 0.9  # of the contractions' time, with known FLOPs: below it a utilization would say too little


def compute(rows: Sequence[OpRow], device: Device, window_ns: int) -> Compute:
    """FLOPs over the window, idle time included; utilizations are None where they are not known."""
    flops = sum(row.flops or 0 for row in rows)
    contractions = [row for row in rows if row.operator_class == "tensor_contraction"]
    known_ns = sum(row.attributed_ns for row in contractions if row.flops is not None)
    covered = share(known_ns, sum(row.attributed_ns for row in contractions))
    peak = _peak(contractions, device)
    executed = sum(row.flops or 0 for row in contractions)
    again = sum(row.recomputed_flops or 0 for row in contractions)
    at_peak = peak.flop_per_s * window_ns / 1e9 if peak and covered >= _COVERED else 0.0
    return Compute(
        flops=flops,
        flop_per_s=share(flops * 1e9, window_ns),
        mfu_share=share(executed - again, at_peak) if at_peak else None,
        hardware_utilisation_share=share(executed, at_peak) if at_peak else None,
        recompute_share=share(sum(row.recomputed_flops or 0 for row in rows), flops),
        contraction_flop_per_s=share((executed - again) * 1e9, window_ns),
        contraction_coverage_share=covered,
        peak=peak,
    )


def _peak(contractions: Sequence[OpRow], device: Device) -> Peak | None:
    """Of the engine and precision with most FLOPs of contractions; None where there are none, or no peak."""
    flops: Counter[tuple[str, str]] = Counter()
    for row in contractions:
        if row.flops and row.engine and row.precision:
            flops[row.engine, row.precision] += row.flops
    if not flops:
        return None
    most = min(flops, key=lambda key: (-flops[key], key))
    return next((peak for peak in device.peaks if (peak.engine, peak.precision) == most), None)
