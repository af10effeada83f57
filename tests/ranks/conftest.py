"""What several tests of jobs need."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Buckets are at an endpoint that refuses connections; its client gives up at once."""
    s3fs = pytest.importorskip("s3fs")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_MAX_ATTEMPTS": "1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{taken.getsockname()[1]}"}  # fmt: skip
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield
    s3fs.S3FileSystem.clear_instance_cache()
