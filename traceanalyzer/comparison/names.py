"""Operators by name: what a compiler put into one kernel, and which operators are the same by another name.

Inductor names a generated kernel after the operators in it, in order of the alphabet: Triton's
`triton_poi_fused__softmax_div_masked_fill_2`, and `cpp_fused_gelu_view_5` on a CPU
(torch/_inductor/codegen/triton.py and common.py, `get_fused_kernel_name`).
"""

from __future__ import annotations

import re
from functools import cache

_GENERATED = re.compile(r"(?:triton|cpp)_(?:[a-z]+_)??fused_(?P<parts>\w+?)(?:_\d+)?$")
_NUMBERS = re.compile(r"^graph_\d+_(?=cpp_)|_\d+$")
# What Inductor calls the copies that eager code makes with `aten::copy_`, and the fills.
_OTHERWISE = {
    "copy": ("clone", "_to_copy", "copy", "copy_", "contiguous", "_unsafe_view", "convert_element_type"),
    "fill": ("zeros", "full", "ones", "zeros_like", "ones_like", "full_like", "new_zeros"),
    "zero": ("zeros", "full", "zeros_like", "new_zeros"),
    "to": ("_to_copy", "convert_element_type"),
    "_foreach_add": ("add",), "_foreach_mul": ("mul",),
    "native_dropout": ("native_dropout", "dropout"), "bernoulli": ("bernoulli", "dropout"),
}  # fmt: skip
_PREFIXES = re.compile(r"^(?:aten|torch|prims)::")
_BACKENDS = re.compile(r"^_?(?:(?:cudnn|miopen|mkldnn|thnn|native|slow)_+)?")


def plain(name: str) -> str:
    """`aten::masked_fill_` -> `masked_fill`: without namespace, and without the mark of in-place variants."""
    short = _PREFIXES.sub("", name)
    return short[:-1] if short.endswith("_") and not short.endswith("__") else short


def family(name: str) -> str:
    """Without the back end either: `cudnn_convolution` and `mkldnn_convolution` are one."""
    return _BACKENDS.sub("", plain(name))


@cache
def generated(name: str) -> str | None:
    """The part of a generated kernel's name that names operators; None where it was not generated."""
    match = _GENERATED.search(name)
    return f"_{match['parts']}_" if match else None


def unnumbered(name: str) -> str:
    """Without the numbers that a compiler counts its graphs and kernels by; other names as they are."""
    return name if generated(name) is None else _NUMBERS.sub("", name)


def holds(parts: str, name: str) -> bool:
    """Whether a generated kernel is named after an operator, by any of the names that Inductor has for it.

    `_add_` is in `_add_mul_`, and not in `_addmm_`; nor is `softmax` in `_softmax_backward_data_`.
    """
    return any(_mentions(parts, each) for each in _OTHERWISE.get(plain(name), (plain(name),)))


def _mentions(parts: str, name: str) -> bool:
    start = parts.find(f"_{name}_")
    while start >= 0:
        rest = parts[start + len(name) + 1 :]
        if not rest.startswith("_backward") or name.endswith("backward"):
            return True
        start = parts.find(f"_{name}_", start + 1)
    return False
