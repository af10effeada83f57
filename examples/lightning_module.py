"""A loop that is not ours: a LightningModule under Lightning's Trainer.

traceanalyze profile examples/lightning_module.py
"""

from __future__ import annotations

import argparse
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(pl.LightningModule):
    """A multilayer perceptron with dropout."""

    def __init__(self, width: int, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.1),
            nn.Linear(4 * width, width), nn.LayerNorm(width), nn.Linear(width, classes),
        )  # fmt: skip

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        x, labels = batch
        return F.cross_entropy(self.layers(x), labels)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        print(f"step {self.global_step - 1} loss {outputs['loss'].item():.6f}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small classifier with Lightning.")
    for name, default in [("steps", 12), ("batch", 256), ("width", 512)]:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    args = options()
    pl.seed_everything(0, verbose=False)
    examples = 4 * args.batch
    dataset = TensorDataset(torch.randn(examples, args.width), torch.randint(0, 10, (examples,)))
    trainer = pl.Trainer(
        max_steps=args.steps, accelerator=args.device, devices=1,
        precision="bf16-mixed" if args.device == "cuda" else "32-true",
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Classifier(args.width), DataLoader(dataset, args.batch, shuffle=True))


if __name__ == "__main__":
    main()
