"""Traces of a bucket: an S3 server on loopback, and a store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import traceanalyzer
from tests.storage.traces import packed, trace
from traceanalyzer import AnalyzeOptions, TraceFormatError, UsageError
from traceanalyzer.trace.reading import remote
from traceanalyzer.trace.reading.reader import read
from traceanalyzer.trace.reading.remote import RemoteFile


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client; bucket `runs` holds three ranks."""
    import boto3
    import s3fs

    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (keys | {"AWS_ENDPOINT_URL": s3_endpoint}).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="runs")
    for rank in range(3):
        key = f"first/rank{rank}.json.gz"
        client.put_object(Bucket="runs", Key=key, Body=packed(rank, time=10 + rank))
    client.put_object(Bucket="runs", Key="first/log.txt", Body=b"hello")
    return client


@pytest.mark.slow
@pytest.mark.parametrize("place", ["s3://runs/first", "s3://runs/first/", "s3://runs/first/*.json.gz",
                                   "s3://runs/*/rank?.json.gz"])  # fmt: skip
def test_a_folder_and_a_pattern_of_a_bucket(place: str, bucket: Any) -> None:
    job = traceanalyzer.analyze(place)
    assert [entry.busy_ns for entry in job.ranks or ()] == [10_000, 11_000, 12_000]
    assert job.source.files[0].path == "s3://runs/first/rank2.json.gz"
    one = traceanalyzer.analyze(place, options=AnalyzeOptions(ranks="1"))
    assert one.source.files[0].path == "s3://runs/first/rank1.json.gz" and one.ranks is None


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_named_in_the_others_report(bucket: Any, tmp_path: Path) -> None:
    (tmp_path / "rank5.json").write_bytes(trace(5))
    gone = ["s3://nobody/run/*.json", "s3://nobody/rank1.json", "s3://runs/first/rank9.json.gz"]
    job = traceanalyzer.analyze([str(tmp_path), *gone])
    failed = [notice.message for notice in job.source.warnings if notice.code == "rank_failed"]
    assert [message.partition(": ")[0] for message in failed] == gone
    for place in gone:
        with pytest.raises(TraceFormatError, match=r"no such file|names no file"):
            traceanalyzer.analyze(place)


@pytest.mark.slow
def test_a_presigned_url_is_read_and_its_signature_is_not_shown(bucket: Any) -> None:
    url = bucket.generate_presigned_url("get_object", Params={"Bucket": "runs", "Key": "first/rank1.json.gz"})
    assert "Signature" in url
    job = traceanalyzer.analyze(url)
    assert job.time.busy_ns == 11_000 and job.source.files[0].rank == 1
    assert "Signature" not in repr(job)
    assert job.source.files[0].path.endswith("/runs/first/rank1.json.gz")


@pytest.mark.slow
def test_without_credentials_the_error_says_which_are_looked_for(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(
        TraceFormatError, match=r"s3://runs/a\.json: there are no credentials.*AWS_ACCESS_KEY_ID"
    ):
        traceanalyzer.analyze("s3://runs/a.json")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(remote, "WAITS_S", (0.0, 0.0))
    store = fsspec.filesystem("memory")
    store.store.clear()
    return store


def test_a_store_of_any_kind(memory: Any) -> None:
    for rank in range(3):
        memory.pipe(f"/run/rank{rank}.json", trace(rank, time=10 + rank))
    for place in ("memory://run", "memory://run/*.json"):
        job = traceanalyzer.analyze(place)
        assert [entry.busy_ns for entry in job.ranks or ()] == [10_000, 11_000, 12_000]
        assert job.source.files[0].path == "memory://run/rank2.json"
    with pytest.raises(TraceFormatError, match="is a folder, not a trace"):
        read("memory://run")


def test_a_file_that_changes_between_two_requests_is_an_error(memory: Any) -> None:
    memory.pipe("/t", b"a" * 4_000_000)
    with RemoteFile("memory://t") as file:
        file.read(10)
        memory.pipe("/t", b"b" * 4_000_001)
        with pytest.raises(TraceFormatError, match="has changed while it was read"):
            file.seek(3_000_000)
            file.read(10)


@pytest.mark.parametrize(
    ("error", "said"),
    [(PermissionError("SECRET"), "access is denied"), (FileNotFoundError("SECRET"), "no such file"),
     (ConnectionResetError("SECRET"), "the connection failed"), (TimeoutError("SECRET"), "does not answer"),
     (ValueError("SECRET"), "cannot be opened by this URL"), (KeyError("SECRET"), "cannot be read")],
)  # fmt: skip
def test_whatever_a_client_raises_is_one_line(
    error: Exception, said: str, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(type(memory), "info", failing)
    with pytest.raises(TraceFormatError, match=said) as raised:
        read("memory://t.json")
    assert "SECRET" not in str(raised.value) and "\n" not in str(raised.value)


def test_a_scheme_that_nobody_knows() -> None:
    with pytest.raises(TraceFormatError, match=r"nope://x/t\.json: cannot be opened by this URL.*s3://"):
        traceanalyzer.analyze("nope://x/t.json")


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in ("gcsfs", "fsspec"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(UsageError, match=r"needs a package.*\[remote\]"):
                traceanalyzer.analyze("gs://bucket/rank0.json")
