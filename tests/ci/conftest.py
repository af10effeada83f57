"""The platform, and the file that says what started a job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ci.platform import Platform, running


@pytest.fixture
def platform() -> Iterator[Platform]:
    with running() as made:
        yield made


def event_file(folder: Path, event: Any) -> str:
    path = folder / "event.json"
    path.write_text(json.dumps(event))
    return str(path)


@pytest.fixture
def pull_request(tmp_path: Path) -> str:
    repository = {"id": 1}
    pull = {"number": 7, "head": {"repo": repository}, "base": {"repo": repository}}
    return event_file(tmp_path, {"pull_request": pull})
