"""Attention of libraries, trained on this machine: who calls the function is not told to call it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.fusion.live import matches, recorded

pytestmark = pytest.mark.slow
TOKENS, BATCH, WIDTH, WORDS = 32, 4, 64, 100


def encoder() -> Callable[[], torch.Tensor]:
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 128, dropout=0.1, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    x = torch.randn(BATCH, TOKENS, WIDTH)
    return lambda: model(x).square().mean()


def of_transformers(family: str, dropout: float, attention: str) -> Callable[[], torch.Tensor]:
    """A small model from its configuration; nothing is loaded."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers

    ids = torch.randint(0, WORDS, (BATCH, TOKENS))
    if family == "bert":
        config = transformers.BertConfig(
            vocab_size=WORDS, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=128, attention_probs_dropout_prob=dropout, attn_implementation=attention,
        )  # fmt: skip
        model: nn.Module = transformers.BertForMaskedLM(config)
    elif family == "t5":
        config = transformers.T5Config(
            vocab_size=WORDS, d_model=WIDTH, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
            dropout_rate=dropout, attn_implementation=attention,
        )  # fmt: skip
        model = transformers.T5ForConditionalGeneration(config)
    else:
        config = transformers.GPT2Config(
            vocab_size=WORDS, n_positions=TOKENS, n_embd=WIDTH, n_layer=2, n_head=4, attn_pdrop=dropout,
            attn_implementation=attention,
        )  # fmt: skip
        model = transformers.GPT2LMHeadModel(config)
    model.train()
    more = {"decoder_input_ids": ids} if family == "t5" else {}
    return lambda: model(input_ids=ids, labels=ids, **more).loss


def trained(loss: Callable[[], torch.Tensor]) -> Callable[[], object]:
    return lambda: loss().backward()  # type: ignore[no-untyped-call]


def test_an_encoder_of_torch_calls_the_function(tmp_path: Path) -> None:
    graph = recorded(trained(encoder()), tmp_path)
    assert any("softmax" in node.name for node in graph.nodes), "with dropout it falls back on a CPU"
    assert not matches(graph, "unfused_attention")


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_models_of_transformers_call_the_function(tmp_path: Path, family: str, dropout: float) -> None:
    graph = recorded(trained(of_transformers(family, dropout, "sdpa")), tmp_path)
    assert any("scaled_dot_product" in scope for node in graph.nodes for scope in graph.scopes(node))
    assert not matches(graph, "unfused_attention")


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_t5_calls_it_where_it_is_asked_to(tmp_path: Path, dropout: float) -> None:
    graph = recorded(trained(of_transformers("t5", dropout, "eager")), tmp_path)
    found = matches(graph, "unfused_attention")
    assert bool(found) is (dropout == 0.0), "the function's kernel for CPUs takes no dropout"
    assert {match.nodes[0].phase for match in found} <= {"forward", "backward"}
