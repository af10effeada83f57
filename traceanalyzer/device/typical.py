"""What operators usually reach of a device's roofs, by kind and size: how efficiency carries elsewhere.

Medians, weighted by time, of real traces: H100 (LLM and detection inference, compiled GPT training), MI300X
(compiled diffusion, ResNet training, LLM decoding), A100 (Segment Anything, Megatron, recommender training),
V100 (ResNet, recommender training). Those of other generations are taken from the nearest. Eager kernels of
ROCm reach less of their roofs than CUDA's do, and a fast device is harder to fill with small work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from traceanalyzer.device.table import part_of
from traceanalyzer.records import Device

Kind = Literal["products", "streaming", "reductions"]
Fractions = tuple[float, float, float, float]
_AT_NS = (2.5e3, 1e4, 4.5e4, 2e5)  # of roof time a call: where each fraction holds, and between them

_HOPPER: Mapping[Kind, Fractions] = {
    "products": (0.17, 0.53, 0.75, 0.75), "streaming": (0.35, 0.45, 0.82, 0.9),
    "reductions": (0.15, 0.43, 0.45, 0.5),
}  # fmt: skip
_AMPERE: Mapping[Kind, Fractions] = {
    "products": (0.15, 0.4, 0.6, 0.83), "streaming": (0.35, 0.5, 0.8, 0.9),
    "reductions": (0.13, 0.3, 0.48, 0.5),
}  # fmt: skip
_VOLTA: Mapping[Kind, Fractions] = {
    "products": (0.15, 0.4, 0.6, 0.75), "streaming": (0.5, 0.6, 0.89, 0.91),
    "reductions": (0.18, 0.3, 0.45, 0.5),
}  # fmt: skip
_TURING: Mapping[Kind, Fractions] = {**_VOLTA, "products": (0.15, 0.35, 0.45, 0.5)}  # its power runs out
_CDNA: Mapping[Kind, Fractions] = {
    "products": (0.06, 0.23, 0.41, 0.44), "streaming": (0.2, 0.35, 0.5, 0.6),
    "reductions": (0.04, 0.2, 0.35, 0.44),
}  # fmt: skip
_OF_GENERATION: Mapping[str, Mapping[Kind, Fractions]] = {
    "Hopper": _HOPPER, "Blackwell": _HOPPER, "Ada": _AMPERE, "Ampere": _AMPERE, "Volta": _VOLTA,
    "Pascal": _VOLTA, "Turing": _TURING, "CDNA 1": _CDNA, "CDNA 2": _CDNA, "CDNA 3": _CDNA, "CDNA 4": _CDNA,
}  # fmt: skip


def carried(work: Kind, here: Device, here_ns: float, there: Device, there_ns: float) -> float:
    """By how much less, or more, of its roof a call reaches there than here; roof times of one call in ns.

    1 between devices of one generation, and where either is not in the table.
    """
    mine, theirs = generation(here), generation(there)
    if mine == theirs or mine not in _OF_GENERATION or theirs not in _OF_GENERATION:
        return 1.0
    return _reached(_OF_GENERATION[theirs][work], there_ns) / _reached(_OF_GENERATION[mine][work], here_ns)


def usual(work: Kind, device: Device, roof_ns: float) -> float | None:
    """What a call of this roof time usually reaches of it; None for a device that is not in the table."""
    fractions = _OF_GENERATION.get(generation(device))
    return _reached(fractions[work], roof_ns) if fractions else None


def _reached(fractions: Fractions, roof_ns: float) -> float:
    return float(np.interp(np.log(max(roof_ns, 1.0)), np.log(_AT_NS), fractions))


def generation(device: Device) -> str:
    """`Hopper`; empty for a device that is not in the table."""
    part = part_of(device)
    return part.generation if part else ""


def vendor(device: Device) -> str:
    """`NVIDIA`; empty for a device that is not in the table."""
    part = part_of(device)
    return part.vendor if part else ""
