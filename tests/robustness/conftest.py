"""What all tests of odd input share."""

from __future__ import annotations

import importlib.metadata

import pytest


@pytest.fixture(autouse=True)
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading what is installed takes longer than a small report."""
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])
