"""What holds whatever a formula counts: work is additive over a batch, operands may change places."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.cost.calls import call_of
from traceanalyzer.cost import price_call
from traceanalyzer.records import Cost

WEIGHT, VECTOR, LABELS = torch.empty(48, 32), torch.empty(48), torch.int64


def t(*dims: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(dims, dtype=dtype)


def arguments(n: int) -> dict[str, tuple[Any, ...]]:
    """Calls on a batch of n, and whatever all samples share."""
    heads, image, pixels = t(n, 4, 16, 8), t(n, 6, 10, 12), t(n, 48)
    gates = t(n, 80)
    return {
        "aten::mm": (t(n, 48), WEIGHT),
        "aten::addmm": (t(32), t(n, 48), WEIGHT, "1", "1"),
        "aten::bmm": (t(n, 5, 48), t(n, 48, 7)),
        "aten::baddbmm": (t(n, 5, 7), t(n, 5, 48), t(n, 48, 7), "1", "1"),
        "aten::linear": (t(n, 3, 32), WEIGHT, VECTOR),
        "aten::mv": (t(n, 48), VECTOR),
        "aten::convolution": (image, t(8, 3, 3, 3), t(8), [2, 1], [1, 1], [1, 2], False, [0, 0], 2),
        "aten::convolution_backward": (
            t(n, 8, 10, 12),
            image,
            t(8, 6, 3, 3),
            [8],
            [1, 1],
            [1, 1],
            [1, 1],
            False,
            [0, 0],
            1,
            [True, True, True],
        ),
        "aten::_scaled_dot_product_flash_attention": (heads, heads, heads, "0.", "False", "False", ""),
        "aten::_scaled_dot_product_flash_attention_for_cpu": (heads, heads, heads, "0.", "True"),
        "aten::_flash_attention_forward": (
            t(n, 16, 4, 8),
            t(n, 16, 4, 8),
            t(n, 16, 4, 8),
            None,
            None,
            16,
            16,
            "0.",
            "True",
            "False",
        ),
        "aten::add": (pixels, pixels, "1"),
        "aten::gelu": (pixels, "none"),
        "aten::where": (t(n, 48, dtype=torch.bool), pixels, pixels),
        "aten::native_dropout": (pixels, "0.1", "True"),
        "aten::_softmax": (pixels, 1, "False"),
        "aten::_softmax_backward_data": (pixels, pixels, 1, 6),
        "aten::native_layer_norm": (pixels, [48], VECTOR, VECTOR, "1e-5"),
        "aten::native_layer_norm_backward": (
            pixels,
            pixels,
            [48],
            t(n, 1),
            t(n, 1),
            VECTOR,
            VECTOR,
            [True, True, True],
        ),
        "aten::_fused_rms_norm": (pixels, [48], VECTOR, "1e-5"),
        "aten::native_batch_norm": (image, t(6), t(6), t(6), t(6), "True", "0.1", "1e-5"),
        "aten::native_group_norm": (image, t(6), t(6), n, 6, 120, 2, "1e-5"),
        "aten::embedding": (t(1 << 20, 48), t(n, 5, dtype=LABELS), -1, "False", "False"),
        "aten::gather": (t(n, 48), 1, t(n, 5, dtype=LABELS), "False"),
        "aten::copy_": (pixels, t(n, 48, dtype=torch.bfloat16), "False"),
        "aten::sum": (pixels, [1], "False", ""),
        "aten::topk": (pixels, 3, 1, "True", "True"),
        "aten::cumsum": (pixels, 1, ""),
        "aten::max_pool2d_with_indices": (image, [2, 2], [2, 2], [0, 0], [1, 1], "False"),
        "aten::upsample_bilinear2d": (image, [20, 24], "False", "", ""),
        "aten::grid_sampler_2d": (image, t(n, 5, 5, 2), 0, 0, "False"),
        "aten::im2col": (image, [3, 3], [1, 1], [0, 0], [1, 1]),
        "aten::_thnn_fused_lstm_cell": (gates, gates, t(n, 20)),
        "aten::_thnn_fused_gru_cell": (t(n, 60), t(n, 60), t(n, 20)),
        "aten::_linalg_solve_ex": (t(n, 6, 6), t(n, 6, 3), "True", "False"),
        "aten::linalg_cholesky_ex": (t(n, 6, 6), "False", "False"),
        "aten::_fft_r2c": (t(n, 64), [1], 0, "True"),
        "aten::_cdist_forward": (t(n, 5, 48), t(n, 7, 48), "2.", ""),
        "_C::silu_and_mul": (t(n, 24), t(n, 48)),
        "bitsandbytes::int8_linear_matmul": (t(n, 48, dtype=torch.int8), t(32, 48, dtype=torch.int8)),
    }


def cost(name: str, n: int) -> Cost:
    found = price_call(call_of(name, *arguments(n)[name]))
    assert isinstance(found, Cost), found
    return found


@pytest.mark.parametrize("name", arguments(1))
def test_work_is_additive_over_the_batch(name: str) -> None:
    """FLOPs in proportion; bytes too, but for what the samples share, which counts once."""
    one, two, three, seven = (cost(name, n) for n in (1, 2, 3, 7))
    for other, n in ((two, 2), (three, 3), (seven, 7)):
        assert other.flops == n * one.flops
        assert other.special_functions == n * one.special_functions
        assert other.recomputed_flops == n * one.recomputed_flops
    for read in (True, False):
        each = [c.read_bytes if read else c.write_bytes for c in (one, two, three, seven)]
        sample = each[1] - each[0]
        assert [e - each[0] for e in each] == [0, sample, 2 * sample, 6 * sample]
        assert 0 <= sample <= each[0]


@pytest.mark.parametrize("name", ["aten::add", "aten::mul", "aten::maximum", "aten::bmm", "aten::mm"])
def test_order_of_the_operands_does_not_matter(name: str) -> None:
    left = t(24, 24).t() if name == "aten::mm" else t(5, 24, 24)
    right = t(24, 24) if name == "aten::mm" else t(5, 24, 24)
    assert price_call(call_of(name, left, right)) == price_call(call_of(name, right, left))
