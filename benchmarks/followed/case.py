"""A model and the changes that can be made to a step of it, each by what a report tells people to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle, repeat
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

Changes = frozenset[str]
Batch = tuple[Tensor, ...]
Cast = Callable[[], torch.autocast]

PASTED = "paste:"  # a change that is a file: of code that a report has for the model
ANY_MODEL = ("compile", "bf16", "kept_pages")  # what can be tried on each


@dataclass(frozen=True)
class Parts:
    """What a step is made of: a training step where there is an optimizer, else inference."""

    model: nn.Module
    loss: Callable[[nn.Module, Batch], Tensor]
    batches: Iterable[Batch]
    optimizer: Callable[..., Optimizer] | None = AdamW


@dataclass(frozen=True)
class Case:
    """`build` makes the parts as the changes have them that only this model can make: `own`."""

    name: str
    source: str
    build: Callable[[Changes], Parts]
    own: tuple[str, ...] = ()
    trains: bool = True

    def changes(self) -> tuple[str, ...]:
        return (*ANY_MODEL, *(("fused",) if self.trains else ()), *self.own)


def stepped(case: Case, changes: Changes) -> Callable[[], None]:
    """One step of the case with these changes."""
    torch.manual_seed(0)
    parts = case.build(changes)
    model, batches = parts.model, batches_of(parts, changes)
    if "channels_last" in changes:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if "compile" in changes:
        model.compile()
    for snippet in (change.removeprefix(PASTED) for change in changes if change.startswith(PASTED)):
        names = {"model": model, "re": re, "torch": torch}
        exec(Path(snippet).read_text(encoding="utf-8"), names)
        model = names["model"]
    cast = partial(torch.autocast, "cpu", torch.bfloat16, enabled="bf16" in changes)
    if parts.optimizer is None:
        model.eval()
        return partial(_inferred, parts, model, batches, cast)
    optimizer = parts.optimizer(model.parameters(), **({"fused": True} if "fused" in changes else {}))
    return partial(_trained, parts, model, batches, cast, optimizer)


def batches_of(parts: Parts, changes: Changes) -> Iterator[Batch]:
    if not isinstance(parts.batches, tuple | list):
        return _endless(parts.batches)
    if "channels_last" not in changes:
        return cycle(parts.batches)
    return cycle([tuple(map(_channels_last, batch)) for batch in parts.batches])


def _endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    for again in repeat(batches):
        yield from again


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _trained(
    parts: Parts, model: nn.Module, batches: Iterator[Batch], cast: Cast, optimizer: Optimizer
) -> None:
    batch = next(batches)
    with cast():
        loss = parts.loss(model, batch)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def _inferred(parts: Parts, model: nn.Module, batches: Iterator[Batch], cast: Cast) -> None:
    with torch.inference_mode(), cast():
        parts.loss(model, next(batches))
