"""Traces of a web server: read as they arrive, continued where they break off, nothing secret is shown."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.storage.traces import packed, trace
from tests.storage.web import Site, serving
from traceanalyzer import TraceFormatError
from traceanalyzer.cli import main
from traceanalyzer.trace.reading import remote
from traceanalyzer.trace.reading.reader import read
from traceanalyzer.trace.reading.remote import RemoteFile

LARGE = 1_500_000


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(remote, "WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.5)
    with serving() as started:
        yield started


def busy_ns(path: str) -> int:
    return traceanalyzer.analyze(path).time.busy_ns


@pytest.mark.parametrize("content", [trace(3), packed(3)], ids=["plain", "gzip"])
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_trace_is_read_by_one_request(content: bytes, encoding: str | None, site: Site) -> None:
    site.files["/t.json.gz"] = content
    site.encoding = encoding if content[:1] == b"\x1f" else None
    assert busy_ns(f"{site.url}/t.json.gz") == 100_000
    assert site.asked == [("/t.json.gz", None)]


@pytest.mark.parametrize("ranges", [True, False])
def test_what_breaks_off_is_continued(ranges: bool, site: Site) -> None:
    site.files["/t.json.gz"] = packed(padding=LARGE)
    site.resets, site.ranges = [200_000, 300_000], ranges
    raw = read(f"{site.url}/t.json.gz")
    assert raw.salvaged is None and raw.bytes == len(gzip.decompress(site.files["/t.json.gz"]))
    starts = [int(asked.split("=")[1].rstrip("-")) for _, asked in site.asked[1:] if asked]
    assert len(starts) == len(site.asked) - 1 == 2 and starts == sorted(starts)


def test_every_byte_is_the_files(site: Site) -> None:
    site.files["/b"] = data = bytes(range(256)) * 4000
    site.resets = [100_000, 5, 400_000]
    with RemoteFile(f"{site.url}/b") as file:
        assert b"".join(iter(lambda: file.read(70_000), b"")) == data
        file.seek(-10, 2)
        assert file.read(100) == data[-10:]
        file.seek(123_456)
        assert file.read(7) == data[123_456:123_463] and file.tell() == 123_463


def test_another_file_is_never_joined_on(site: Site) -> None:
    site.files["/t.json"] = trace(padding=LARGE)
    site.resets, site.changes = [200_000], True
    with pytest.raises(TraceFormatError, match=r"has changed while it was read \(after [\d,]+ bytes\)"):
        read(f"{site.url}/t.json")


def test_without_ranges_or_versions_half_a_file_is_an_error(site: Site) -> None:
    site.files["/t.json"] = trace(padding=LARGE)
    site.resets, site.ranges, site.etag = [200_000], False, None
    with pytest.raises(TraceFormatError, match="knows no ranges.*Fix: download the file"):
        read(f"{site.url}/t.json")


def test_a_server_that_always_breaks_off_is_given_up(site: Site) -> None:
    site.files["/t.json"] = trace(padding=LARGE)
    site.resets = [0] * 10
    with pytest.raises(TraceFormatError, match=r"the connection failed \("):
        read(f"{site.url}/t.json")
    assert len(site.asked) == 3


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([403], r"access is denied \(HTTP 403\) \(nothing read\)\. Fix: sign the URL again"),
        ([401], r"access is denied \(HTTP 401\)"),
        ([404], r"no such file.*Fix: check the URL"),
        ([503, 503, 503], r"the server is busy or broken \(HTTP 503\).*Fix: try again later"),
        ([429, 429, 429], r"\(HTTP 429\).*Fix: try again later"),
        ([418], r"the server refuses \(HTTP 418\)"),
    ],
)
def test_what_a_server_refuses_is_one_line(statuses: list[int], said: str, site: Site) -> None:
    site.files["/t.json"] = trace()
    site.statuses = list(statuses)
    with pytest.raises(TraceFormatError, match=said) as error:
        read(f"{site.url}/t.json?X-Amz-Signature=SECRET")
    assert "SECRET" not in str(error.value) and "\n" not in str(error.value)
    assert len(site.asked) == len(statuses)


def test_a_busy_server_is_asked_again(site: Site) -> None:
    site.files["/t.json"] = trace()
    site.statuses, site.retry_after = [503, 429], "0"
    assert busy_ns(f"{site.url}/t.json") == 100_000


def test_a_silent_server_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAITS_S", ())
    site.files["/t.json"], site.silent_s = trace(), 5
    with pytest.raises(TraceFormatError, match="the server does not answer"):
        read(f"{site.url}/t.json")


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAITS_S", ())
    with serving() as gone:
        url = gone.url
    with pytest.raises(TraceFormatError, match=r"the connection failed \(.*Fix: check the URL"):
        read(f"{url}/t.json")


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Log in</html>", b"\n <HTML><body>Log in</HTML>"])
def test_a_page_to_log_in_is_no_trace(page: bytes, site: Site, tmp_path: Path) -> None:
    site.files["/t.json"] = page
    (tmp_path / "t.json").write_bytes(page)
    for path in (f"{site.url}/t.json", str(tmp_path / "t.json")):
        with pytest.raises(TraceFormatError, match="is a web page, perhaps one to log in, not JSON"):
            read(path)


def test_nothing_secret_is_shown(site: Site, tmp_path: Path) -> None:
    site.files["/run/rank1.json.gz"], site.files["/run/rank2.json"] = packed(1), b"no trace"
    query = "X-Amz-Credential=SECRET%2Fus&X-Amz-Signature=SECRET"
    user = site.url.replace("//", "//SECRET:SECRET@")
    given = [
        f"{user}/run/rank1.json.gz?{query}",
        f"{site.url}/run/rank2.json?{query}",
        f"{user}/gone?{query}",
    ]
    for ending in ("json", "html", "md", "txt"):
        said = CliRunner().invoke(main, ["report", *given, "-o", str(tmp_path / f"r.{ending}")])
        assert said.exit_code == 0, said.output
        text = said.output + (tmp_path / f"r.{ending}").read_text()
        assert "SECRET" not in text and "rank1.json.gz" in text and "gone" in text
    assert any("%2Fus" in path for path, _ in site.asked), "a signature is of the characters as they stand"


def test_a_page_is_named_after_the_file_of_a_url(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    site.files["/run/rank1.json.gz"] = packed(1)
    for _ in range(2):  # our own report of the same trace is replaced
        said = CliRunner().invoke(main, ["report", f"{site.url}/run/rank1.json.gz?sig=SECRET"])
        assert said.exit_code == 0, said.output
        assert [path.name for path in tmp_path.iterdir()] == ["rank1.report.html"]


def test_a_folder_and_a_pattern_of_the_web(site: Site) -> None:
    site.files |= {f"/run/rank{rank}.json.gz": packed(rank, time=10 + rank) for rank in range(3)}
    links = "".join(f'<a href="{name}">x</a>' for name in ("rank0.json.gz", "rank1.json.gz", "rank2.json.gz"))
    site.files["/run/"] = f"<html>{links}<a href='log.txt'>log</a></html>".encode()
    for place in ("/run/", "/run/rank*.json.gz"):
        job = traceanalyzer.analyze(site.url + place)
        assert [entry.busy_ns for entry in job.ranks or ()] == [10_000, 11_000, 12_000]


def test_a_place_that_cannot_be_reached_is_named_in_the_others_report(site: Site, tmp_path: Path) -> None:
    (tmp_path / "rank0.json").write_bytes(trace(0))
    with serving() as gone:
        url = gone.url
    job = traceanalyzer.analyze([str(tmp_path), f"{url}/run/*.json", f"{url}/rank2.json"])
    failed = [notice.message for notice in job.source.warnings if notice.code == "rank_failed"]
    assert job.time.busy_ns == 100_000
    assert [message.partition(": ")[0] for message in failed] == [f"{url}/run/*.json", f"{url}/rank2.json"]


def test_a_diff_of_two_urls(site: Site, tmp_path: Path) -> None:
    site.files["/a.json"], site.files["/b.json"] = trace(time=100), trace(time=200)
    comparison = traceanalyzer.compare(f"{site.url}/a.json", f"{site.url}/b.json?sig=SECRET")
    assert [file.path for file in comparison.head.files] == [f"{site.url}/b.json"]


def test_nothing_secret_is_shown_by_other_commands(site: Site, tmp_path: Path) -> None:
    site.files["/rank1.json"], site.files["/bad.json"] = trace(1), b"no trace"
    urls = [f"{site.url}/{name}.json?sig=SECRET" for name in ("rank1", "bad", "gone")]
    out = tmp_path / "t.json"
    commands = [
        *(["annotate", url, "-o", str(out), "--force"] for url in urls),
        *(["check", url, "--require", "step_ns.median<=+5%", "--baseline", urls[0]] for url in urls),
        *(["diff", url, urls[0], "-o", "-"] for url in urls),
        *(["report", urls[0], "--capture", url, "-o", "-"] for url in urls),
    ]
    for command in commands:
        said = CliRunner().invoke(main, command)
        assert said.exit_code in (0, 2, 3), said.output
        assert "SECRET" not in said.output and "internal error" not in said.output, command
    assert json.loads(out.read_text())["traceEvents"]


def test_headers_of_the_users_own_are_sent_on_every_request(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    site.files["/t.json"] = trace(padding=LARGE)
    site.resets, site.token = [200_000], "Bearer TOKEN"
    with pytest.raises(TraceFormatError, match=r"HTTP 401"):
        read(f"{site.url}/t.json")
    monkeypatch.setitem(fsspec.config.conf, "http", {"headers": {"Authorization": "Bearer TOKEN"}})
    fsspec.get_filesystem_class("http").clear_instance_cache()
    assert read(f"{site.url}/t.json").salvaged is None and len(site.asked) == 3
