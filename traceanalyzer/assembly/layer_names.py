"""Layers that are built alike under one name: `blocks.*.mlp` of `blocks.0.mlp` to `blocks.23.mlp`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

_DEEPEST = 64  # parts of a name that is looked into


class _Part(msgspec.Struct, eq=False):
    """One part of dotted names, and what follows it."""

    label: str
    is_module: bool = False
    runs: frozenset[int] = frozenset()
    inside: dict[str, _Part] = msgspec.field(default_factory=dict)


def joint_names(operators: Mapping[str, frozenset[int]]) -> dict[str, str]:
    """Each module's name with `*` for the number of a layer, where all layers beside it are built alike.

    They hold the same modules, and those that hold none run the same `operators`.

    Where they are of several kinds a number becomes those of its kind: `blocks.0-2,5.mlp`.
    """
    root, parts_of = _Part(""), {}
    for name, runs in operators.items():
        parts = name.split(".")
        parts_of[name] = parts if len(parts) <= _DEEPEST else [name]
        at = root
        for part in parts_of[name]:
            at = at.inside.setdefault(part, _Part(part))
        at.is_module, at.runs = True, runs
    _structure(root, {})
    return {name: ".".join(_labels(root, parts)) for name, parts in parts_of.items()}


def _labels(root: _Part, parts: list[str]) -> Iterable[str]:
    for part in parts:
        root = root.inside[part]
        yield root.label


def _structure(part: _Part, numbers_of: dict[tuple[object, ...], int]) -> int:
    """A number that is the same of parts that hold the same; labels the layers inside on the way."""
    holds: list[tuple[str, int]] = []
    layers: dict[int, list[_Part]] = {}
    for name, inner in part.inside.items():
        structure = _structure(inner, numbers_of)
        if name.isdecimal():
            layers.setdefault(structure, []).append(inner)
        else:
            holds.append((name, structure))
    for structure, alike in layers.items():
        if len(alike) > 1:
            label = "*" if len(layers) == 1 else _ranges([int(layer.label) for layer in alike])
            for layer in alike:
                layer.label = label
        holds.append((f"*{len(alike)}", structure))
    key = (part.is_module, *sorted(holds)) if holds else (part.runs,)
    return numbers_of.setdefault(key, len(numbers_of))


def _ranges(numbers: list[int]) -> str:
    """`0-2,5` of 0, 1, 2 and 5."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
