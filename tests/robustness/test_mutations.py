"""No trace, however odd, ends a report: each mutation is analyzed and shown, or refused in one line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robustness.checks import fault
from tests.robustness.documents import REAL, committed
from tests.robustness.mutations import SEED, SHARE, Mutation, at_random, of_fields, of_members

RANDOM = 5000
PART = {"fields": 0.008, "members": 0.008, "random": 0.012}  # of each kind, where not all are run
PAGES = 10  # the page, which takes as long as all else, is made of every tenth


def chosen(kind: str, mutations: Iterator[Mutation]) -> list[Mutation]:
    """All of them, or a seeded part."""
    draw = random.Random(f"{SEED} {kind}")
    share = SHARE or PART[kind]
    return [mutation for mutation in mutations if draw.random() < share]


def survive(mutations: list[Mutation], folder: Path) -> None:
    """Analyze and show each; name those at which it failed, and how."""
    file = folder / "trace.json"
    faults = []
    for number, mutation in enumerate(mutations):
        file.write_bytes(mutation.text())
        try:
            found = fault(file, page=number % PAGES == 0)
        except Exception as error:
            found = f"{type(error).__name__}: {str(error)[:200]}"
        if found:
            faults.append(f"{mutation.title}: {found}")
    assert mutations
    assert not faults, f"{len(faults)} of {len(mutations)} fail: " + "\n".join(faults[:20])


@pytest.mark.parametrize("base", committed())
def test_whole(base: str, tmp_path: Path) -> None:
    survive([Mutation(f"{base}: as it is", base, lambda whole: whole)], tmp_path)


@pytest.mark.parametrize("base", committed())
def test_fields(base: str, tmp_path: Path) -> None:
    survive(chosen("fields", of_fields(base)), tmp_path)


@pytest.mark.parametrize("base", committed())
def test_members(base: str, tmp_path: Path) -> None:
    survive(chosen("members", of_members(base)), tmp_path)


def test_random_values(tmp_path: Path) -> None:
    survive(chosen("random", at_random(committed(), RANDOM, SEED)), tmp_path)


@pytest.mark.usefixtures("real_traces")
@pytest.mark.parametrize("base", REAL)
def test_fields_and_members_of_real_traces(base: str, tmp_path: Path) -> None:
    survive([*chosen("fields", of_fields(base)), *chosen("members", of_members(base))], tmp_path)


@pytest.mark.usefixtures("real_traces")
def test_random_values_in_real_traces(tmp_path: Path) -> None:
    survive(chosen("random", at_random(list(REAL), RANDOM, SEED + 1)), tmp_path)
