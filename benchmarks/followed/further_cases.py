"""Models that were added when bands stood: the others show what rules leave out, these whether that holds."""

from __future__ import annotations

import torch
from case import Batch, Case, Changes, Parts
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch[0], labels=batch[1]).loss


def neox(changes: Changes) -> Parts:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=6000, hidden_size=320, intermediate_size=1280, num_hidden_layers=4, num_attention_heads=5,
        attn_implementation="sdpa" if "sdpa" in changes else "eager",
    )  # fmt: skip
    ids = torch.randint(0, 6000, (4, 224))
    return Parts(GPTNeoXForCausalLM(config), _loss, [(ids, ids)])


def resnet(_: Changes) -> Parts:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=32, hidden_sizes=[64, 128, 256], depths=[2, 2, 2], layer_type="basic", num_labels=50
    )
    batch = (torch.randn(16, 3, 112, 112), torch.randint(0, 50, (16,)))
    return Parts(ResNetForImageClassification(config), _loss, [batch], SGD)


def speech(changes: Changes) -> Parts:
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(
        hidden_size=192, num_hidden_layers=4, num_attention_heads=4, intermediate_size=768,
        conv_dim=(96,) * 7, vocab_size=32,
        attention_dropout=0.0 if "no_attention_dropout" in changes else 0.1,
        attn_implementation="sdpa", layerdrop=0.0, apply_spec_augment=False,
    )  # fmt: skip
    batch = (torch.randn(4, 64_000), torch.randint(1, 31, (4, 20)))
    return Parts(Wav2Vec2ForCTC(config), _loss, [batch])


class Words(nn.Module):
    """An LSTM over words, and the next one of each."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.recurrent = nn.LSTM(width, 2 * width, num_layers=2, batch_first=True)
        self.head = nn.Linear(2 * width, words)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.recurrent(self.embedding(ids))[0])


def words(_: Changes) -> Parts:
    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())

    ids = torch.randint(0, 8000, (2, 16, 49))
    return Parts(Words(8000, 192), loss, [(ids[0, :, :-1], ids[0, :, 1:])], Adam)


class Autoencoder(nn.Module):
    """Images to a distribution and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.GroupNorm(8, width), nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.GroupNorm(8, 2 * width), nn.SiLU(),
            nn.Conv2d(2 * width, 32, 3, padding=1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(16, 2 * width, 4, 2, 1), nn.GroupNorm(8, 2 * width), nn.SiLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(images).chunk(2, 1)
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return self.decoder(drawn), divergence


def autoencoder(_: Changes) -> Parts:
    def loss(model: nn.Module, batch: Batch) -> Tensor:
        again, divergence = model(batch[0])
        return F.mse_loss(again, batch[0]) + divergence

    return Parts(Autoencoder(48), loss, [(torch.randn(16, 3, 96, 96),)], Adam)


CASES = (
    Case("GPT-NeoX", "transformers", neox, ("sdpa",)),
    Case("ResNet", "transformers", resnet, ("channels_last",)),
    Case("Wav2Vec2", "transformers", speech, ("no_attention_dropout",)),
    Case("LSTM", "plain", words),
    Case("Autoencoder", "plain", autoencoder, ("channels_last",)),
)
