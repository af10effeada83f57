"""Models of transformers and diffusers, with random weights and as their libraries make them."""

from __future__ import annotations

from functools import partial

import torch
from case import Batch, Case, Changes, Parts
from torch import Tensor, nn


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch[0], labels=batch[1]).loss


def _attention(changes: Changes) -> str:
    return "sdpa" if "sdpa" in changes else "eager"


def bert(changes: Changes) -> Parts:
    from transformers import BertConfig, BertForMaskedLM

    dropout = 0.0 if "no_attention_dropout" in changes else 0.1
    config = BertConfig(
        vocab_size=8192, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        attention_probs_dropout_prob=dropout, attn_implementation="sdpa",
    )  # fmt: skip
    ids = torch.randint(0, 8192, (8, 192))
    return Parts(BertForMaskedLM(config), _loss, [(ids, ids)])


def t5(changes: Changes) -> Parts:
    from transformers import T5Config, T5ForConditionalGeneration
    from transformers.models.t5.modeling_t5 import T5LayerCrossAttention

    config = T5Config(
        vocab_size=4096, d_model=256, d_kv=32, d_ff=768, num_layers=3, num_heads=8, decoder_start_token_id=0
    )
    model = T5ForConditionalGeneration(config)
    if (
        "no_attention_dropout" in changes
    ):  # where the bias of positions is not trained: from decoder to encoder
        for layer in model.modules():
            if isinstance(layer, T5LayerCrossAttention):
                layer.EncDecAttention.dropout = 0.0
    ids = torch.randint(0, 4096, (8, 128))
    return Parts(model, _loss, [(ids, ids)])


def llama(changes: Changes) -> Parts:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=4, attn_implementation=_attention(changes),
    )  # fmt: skip
    ids = torch.randint(0, 4096, (4, 256))
    return Parts(LlamaForCausalLM(config), _loss, [(ids, ids)])


def vit(changes: Changes) -> Parts:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=192, num_hidden_layers=6, num_attention_heads=3, intermediate_size=768, image_size=160,
        num_labels=100, attn_implementation=_attention(changes),
    )  # fmt: skip
    images = torch.randn(16, 3, 160, 160)
    return Parts(ViTForImageClassification(config), _loss, [(images, torch.randint(0, 100, (16,)))])


def convnext(_: Changes) -> Parts:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[48, 96, 192, 384], depths=[2, 2, 4, 2], num_labels=100)
    images = torch.randn(8, 3, 128, 128)
    return Parts(ConvNextForImageClassification(config), _loss, [(images, torch.randint(0, 100, (8,)))])


def swin(_: Changes) -> Parts:
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(image_size=112, embed_dim=48, depths=[2, 2, 4], num_heads=[2, 4, 8], num_labels=100)
    images = torch.randn(8, 3, 112, 112)
    return Parts(SwinForImageClassification(config), _loss, [(images, torch.randint(0, 100, (8,)))])


def whisper(changes: Changes) -> Parts:
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=256, encoder_layers=4, encoder_attention_heads=4, encoder_ffn_dim=1024,
        max_source_positions=500, attn_implementation=_attention(changes),
    )  # fmt: skip
    sound = torch.randn(4, 80, 1000)
    return Parts(WhisperEncoder(config), lambda model, batch: model(batch[0])[0], [(sound,)], None)


def mamba(_: Changes) -> Parts:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=2048, hidden_size=128, num_hidden_layers=2, state_size=8)
    ids = torch.randint(0, 2048, (8, 48))
    return Parts(MambaForCausalLM(config), _loss, [(ids, ids)])


def unet(_: Changes) -> Parts:
    from diffusers import UNet2DModel

    model = UNet2DModel(
        sample_size=32, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(64, 128),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    batch = (torch.randn(8, 3, 32, 32), torch.randint(0, 1000, (8,)), torch.randn(8, 3, 32, 32))
    return Parts(model, _denoised, [batch])


def _denoised(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(model(batch[0], batch[1]).sample, batch[2])


def decoder(_: Changes) -> Parts:
    from diffusers.models.autoencoders.vae import Decoder

    model = Decoder(
        in_channels=4, out_channels=3, up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(64, 128), layers_per_block=1,
    )  # fmt: skip
    return Parts(model, lambda model, batch: model(batch[0]), [(torch.randn(2, 4, 48, 48),)], None)


def generation(changes: Changes) -> Parts:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=8192,
        n_embd=384,
        n_layer=6,
        n_head=6,
        n_positions=512,
        attn_implementation=_attention(changes),
    )
    model = GPT2LMHeadModel(config)
    generate = partial(model.generate, max_new_tokens=24, min_new_tokens=24, do_sample=False, pad_token_id=0)
    ids = torch.randint(0, 8192, (4, 64))
    return Parts(model, lambda _, batch: generate(batch[0]), [(ids,)], None)


CASES = (
    Case("BERT", "transformers", bert, ("no_attention_dropout",)),
    Case("T5", "transformers", t5, ("no_attention_dropout",)),
    Case("Llama", "transformers", llama, ("sdpa",)),
    Case("ViT", "transformers", vit, ("sdpa",)),
    Case("ConvNeXt", "transformers", convnext, ("channels_last",)),
    Case("Swin", "transformers", swin),
    Case("Whisper's encoder, inference", "transformers", whisper, ("sdpa",), trains=False),
    Case("Mamba", "transformers", mamba),
    Case("GPT-2, generation", "transformers", generation, ("sdpa",), trains=False),
    Case("UNet2D", "diffusers", unet, ("channels_last",)),
    Case("VAE decoder, inference", "diffusers", decoder, ("channels_last",), trains=False),
)
