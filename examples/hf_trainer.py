"""A loop that is not ours: the Hugging Face Trainer with a tiny GPT-2, no download and no tokenizer.

traceanalyze profile examples/hf_trainer.py
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import torch
import transformers as hf
from torch import Tensor
from torch.utils.data import Dataset


class Tokens(Dataset[dict[str, Tensor]]):
    """Random sequences, each its own label."""

    def __init__(self, sequences: int, vocabulary: int, length: int) -> None:
        self.ids = torch.randint(0, vocabulary, (sequences, length))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.ids[index], "labels": self.ids[index]}


class PrintLoss(hf.TrainerCallback):
    """In place of the Trainer's own lines, which hold run times."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" in logs:
            print(f"step {state.global_step - 1} loss {logs['loss']:.6f}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a tiny GPT-2 with the Hugging Face Trainer.")
    for name, default in [("steps", 12), ("width", 128), ("layers", 2), ("batch", 8), ("length", 128)]:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    args = options()
    torch.manual_seed(0)
    config = hf.GPT2Config(
        vocab_size=1000, n_positions=args.length, n_embd=args.width, n_layer=args.layers, n_head=4,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    tokens = Tokens(2 * args.batch, config.vocab_size, args.length)
    with tempfile.TemporaryDirectory() as folder:
        arguments = hf.TrainingArguments(
            folder, max_steps=args.steps, per_device_train_batch_size=args.batch, learning_rate=1e-3, seed=0,
            logging_steps=1, disable_tqdm=True, report_to="none", save_strategy="no",
            use_cpu=args.device == "cpu", bf16=args.device == "cuda",
        )  # fmt: skip
        model = hf.GPT2LMHeadModel(config)
        trainer = hf.Trainer(model, arguments, train_dataset=tokens, callbacks=[PrintLoss()])
        trainer.remove_callback(hf.PrinterCallback)
        trainer.train()


if __name__ == "__main__":
    main()
