"""The encoder layer of the published class table, run here, profiled, and analyzed from its trace.

Ivanov et al., "Data Movement Is All You Need", MLSys 2021, arXiv 2007.00072: one BERT encoder layer,
batch 8, sequence 512, 16 heads, width 1024, MLP 4096, dropout 0.1, ReLU, forward and backward. Their
FLOPs are exact integers of these sizes, so the whole way from the profiler to the table must give them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

import traceanalyzer

B, L, H, W, U = 8, 512, 16, 1024, 4096  # batch, sequence, heads, width, MLP
CONTRACTIONS = {
    "q, k, v and their gradients": 3 * 3 * 2 * B * L * W * W,
    "scores and their gradients": 3 * 2 * B * H * L * L * (W // H),
    "weighted values and their gradients": 3 * 2 * B * H * L * L * (W // H),
    "output projection and its gradients": 3 * 2 * B * L * W * W,
    "both linear layers and their gradients": 2 * 3 * 2 * B * L * W * U,
}


class Encoder(nn.Module):
    """Post-norm encoder layer, attention written out."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(W, W) for _ in range(4))
        self.up, self.down = nn.Linear(W, U), nn.Linear(U, W)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(W), nn.LayerNorm(W)

    def heads(self, x: Tensor) -> Tensor:
        return x.view(B, L, H, W // H).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        weights = F.dropout((q @ k.transpose(-2, -1) * (W // H) ** -0.5).softmax(-1), 0.1)
        mixed = (weights @ v).transpose(1, 2).reshape(B, L, W)
        x = self.norm_attention(x + F.dropout(self.out(mixed), 0.1))
        inner = F.dropout(F.relu(self.up(x)), 0.1)
        return self.norm_mlp(x + F.dropout(self.down(inner), 0.1))


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> traceanalyzer.Analysis:
    torch.manual_seed(0)
    layer = Encoder()
    x = torch.randn(B, L, W, requires_grad=True)
    upstream = torch.randn(B, L, W)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        layer(x).backward(upstream)
    trace: Path = tmp_path_factory.mktemp("paper") / "encoder.json"
    recorded.export_chrome_trace(str(trace))
    return traceanalyzer.analyze(trace)


@pytest.mark.slow
def test_contractions_are_the_paper_s_to_the_last_flop(analysis: traceanalyzer.Analysis) -> None:
    assert sum(CONTRACTIONS.values()) == 335_007_449_088
    rows = [row for row in analysis.op_rows if row.operator_class == "tensor_contraction"]
    assert sum(row.flops or 0 for row in rows) == 335_007_449_088
    listed = {part.operator_class: part.flops for part in analysis.operator_classes}
    assert listed["tensor_contraction"] == 335_007_449_088


@pytest.mark.slow
def test_the_backward_pass_has_twice_the_forward_s_products(analysis: traceanalyzer.Analysis) -> None:
    products = analysis.ops[analysis.ops["operator_class"] == "tensor_contraction"]
    by_phase = products.groupby("phase")["flops"].sum()
    assert by_phase["backward"] == 2 * by_phase["forward"] == 223_338_299_392


@pytest.mark.slow
def test_nearly_all_flops_are_contractions_as_published(analysis: traceanalyzer.Analysis) -> None:
    """99.80 % there. Unfused PyTorch has a few more element-wise operators: the third digit may differ."""
    shares = {part.operator_class: part.flops_share for part in analysis.operator_classes}
    assert shares["tensor_contraction"] == pytest.approx(0.998, abs=0.001)
    assert 0 < shares["element_wise"] < 0.003 and 0 < shares["statistical_normalization"] < 0.003


@pytest.mark.slow
def test_what_computes_is_priced(analysis: traceanalyzer.Analysis) -> None:
    """Without a formula or shapes: operators that only call others, and autograd's own (they free memory)."""
    unpriced = {row.name for row in analysis.op_rows if row.flops is None and row.name.startswith("aten::")}
    assert unpriced <= {"aten::dropout", "aten::softmax", "aten::linear", "aten::matmul", "aten::layer_norm"}


@pytest.mark.slow
def test_no_roof_is_made_up_for_a_cpu_that_was_not_measured(analysis: traceanalyzer.Analysis) -> None:
    assert analysis.device.kind == "cpu" and analysis.device.bandwidth_bytes_per_s is None
    assert {row.verdict for row in analysis.op_rows} == {"unmodelled"}
