"""Traces in archives: each is a file of the job, nothing is unpacked to disk, hostile ones are refused."""

from __future__ import annotations

import gzip
import io
import multiprocessing
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import traceanalyzer
from tests.storage.traces import packed, trace
from tests.storage.web import serving
from traceanalyzer import TraceFormatError
from traceanalyzer.trace import trace_files
from traceanalyzer.trace.reading import archives, unpacking
from traceanalyzer.trace.reading.reader import read

RANKS = {f"run/rank{rank}.json.gz": packed(rank, time=10 + rank) for rank in range(3)}
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def tar(path: Path, members: Sequence[Member], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


MAKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "run.tar": lambda path, files: tar(path, [member(*each) for each in files.items()]),
    "run.tar.gz": lambda path, files: tar(path, [member(*each) for each in files.items()], "w:gz"),
    "run.tgz": lambda path, files: tar(path, [member(*each) for each in files.items()], "w:gz"),
    "run.zip": zipped,
}


@pytest.fixture(params=MAKERS)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return MAKERS[request.param](tmp_path / request.param, RANKS | {"run/log.txt": b"hello"})


def test_every_trace_in_an_archive_is_a_file_of_the_job(archive: Path, tmp_path: Path) -> None:
    job = traceanalyzer.analyze(archive)
    assert [(entry.rank, entry.busy_ns) for entry in job.ranks or ()] == [
        (0, 10_000),
        (1, 11_000),
        (2, 12_000),
    ]
    assert job.source.files[0].path == f"{archive}:run/rank2.json.gz"
    assert [path.name for path in tmp_path.iterdir()] == [archive.name], "nothing is unpacked to disk"


def test_one_trace_in_an_archive_can_be_named(archive: Path) -> None:
    job = traceanalyzer.analyze(f"{archive}:run/rank1.json.gz")
    assert job.time.busy_ns == 11_000 and job.source.files[0].rank == 1
    with pytest.raises(TraceFormatError, match=r"holds no trace run/rank9\.json\.gz"):
        traceanalyzer.analyze(f"{archive}:run/rank9.json.gz")
    with pytest.raises(TraceFormatError, match="is an archive.*Fix: name one trace in it"):
        read(str(archive))


def test_files_are_read_in_any_order(archive: Path) -> None:
    names = trace_files([str(archive)])
    for order in ((0, 1, 2), (2, 1, 0), (1, 1, 0, 2)):
        assert [read(names[place]).rank for place in order] == list(order)


def rank_of(name: str) -> int | None:
    return read(name).rank


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_open_the_same_names(method: str, archive: Path) -> None:
    names = trace_files([str(archive)])
    assert rank_of(names[0]) == 0  # this process stands in the middle of the archive
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(rank_of, names * 2) == [0, 1, 2] * 2
    assert rank_of(names[1]) == 1


def test_a_packed_archive_is_passed_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = MAKERS["run.tgz"](tmp_path / "run.tgz", RANKS)
    opened: list[str] = []
    whole = archives.open_local
    monkeypatch.setattr(archives, "open_local", lambda name: opened.append(name) or whole(name))
    for name in trace_files([str(path)]):
        read(name)
    assert len(opened) == 2, "to list it, and to read all that is in it"


def test_an_archive_of_the_web(tmp_path: Path) -> None:
    with serving() as site:
        for name, make in MAKERS.items():
            site.files[f"/{name}"] = make(tmp_path / name, RANKS).read_bytes()
            job = traceanalyzer.analyze(f"{site.url}/{name}?sig=SECRET")
            assert [entry.busy_ns for entry in job.ranks or ()] == [10_000, 11_000, 12_000]
            assert job.source.files[0].path == f"{site.url}/{name}:run/rank2.json.gz"
            assert "SECRET" not in repr(job)


def test_hostile_members_are_left_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_bytes(trace(7))
    hostile = [
        member("../../rank10.json", trace(10)), member("/rank11.json", trace(11)),
        member("a\n\x1b[2J.json", trace(12)),
        member("link.json", kind=tarfile.SYMTYPE, link=str(secret)),
        member("hard.json", kind=tarfile.LNKTYPE, link="run/rank0.json.gz"),
        member("pipe.json", kind=tarfile.FIFOTYPE), member("dev.json", kind=tarfile.CHRTYPE),
        member("folder.json", kind=tarfile.DIRTYPE), member("run/._rank1.json", b"\x00\x05\x16\x07"),
        member("__MACOSX/run/rank1.json", b"\x00"), member("./rank1.json", trace(1)),
        member("caf\udce9.json", trace(2)),
    ]  # fmt: skip
    path = tar(tmp_path / "run.tar", hostile)
    assert trace_files([str(path)]) == [f"{path}:rank1.json"]
    assert read(f"{path}:rank1.json").rank == 1
    for name in ("link.json", "hard.json", "../../rank10.json", "/rank11.json"):
        with pytest.raises(TraceFormatError, match="holds no trace"):
            read(f"{path}:{name}")


def test_hostile_members_of_a_zip_are_left_alone(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.json")
    link.external_attr = 0o120777 << 16
    path = zipped(
        tmp_path / "run.zip", {"../rank3.json": trace(3), "rank1.json": trace(1), "/rank4.json": b""}
    )
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(link, "/etc/passwd")
    assert trace_files([str(path)]) == [f"{path}:rank1.json"]


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "run.tar", [member("rank0.json", trace(0)), member("rank0.json", trace(1))])
    with pytest.raises(TraceFormatError, match=r"holds rank0\.json more than once.*Fix: unpack it"):
        traceanalyzer.analyze(path)


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no archive"), b"PK\x03\x04 no zip",
                                     gzip.compress(b"x" * 4096)[:20]],
                         ids=["empty", "text", "packed text", "zip", "cut"])  # fmt: skip
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_archive_is_one_line(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, f"{tmp_path / name}:rank0.json"):
        with pytest.raises(TraceFormatError, match=r"Fix: ") as error:
            traceanalyzer.analyze(path)
        assert "\n" not in str(error.value)


def test_an_archive_without_traces(tmp_path: Path) -> None:
    with pytest.raises(TraceFormatError, match=r"is an archive without traces \(.*1 files\)"):
        traceanalyzer.analyze(tar(tmp_path / "run.tar", [member("log.txt", b"hello")]))


@pytest.mark.parametrize("name", ["run.tar", "run.tgz"])
def test_an_archive_that_breaks_off_gives_what_is_whole_and_says_so(name: str, tmp_path: Path) -> None:
    files = {f"rank{rank}.json": trace(rank, time=10 + rank, padding=100_000) for rank in range(4)}
    path = MAKERS[name](tmp_path / name, files)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    job = traceanalyzer.analyze(path)
    whole = [entry for entry in job.ranks or () if entry.rank in (0, 1)]
    assert [entry.busy_ns for entry in whole] == [10_000, 11_000]
    failed = [notice.message for notice in job.source.warnings if notice.code == "rank_failed"]
    assert failed[0].startswith(f"{path}: is a damaged archive (3 files could be listed; "), failed


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("rank0.json")
    header.type, header.size = tarfile.XHDTYPE, 1 << 33
    path = tmp_path / "run.tgz"
    path.write_bytes(gzip.compress(header.tobuf() + bytes(1 << 24)))
    tracemalloc.start()
    try:
        with pytest.raises(TraceFormatError, match="is a damaged archive"):
            traceanalyzer.analyze(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_FREE", 1 << 20)
    spaces = gzip.compress(b"[" + b" " * (10 << 20), 9)
    (tmp_path / "t.json.gz").write_bytes(spaces)
    tar(tmp_path / "run.tgz", [member("log.txt", bytes(10 << 20)), member("rank0.json", trace(0))], "w:gz")
    zipped(tmp_path / "run.zip", {"rank0.json.gz": spaces})
    for name in ("t.json.gz", "run.tgz", "run.zip"):
        with pytest.raises(TraceFormatError, match="unpacks to more than 200 times its size"):
            traceanalyzer.analyze(tmp_path / name)


def test_a_folder_of_archives_and_a_pattern(tmp_path: Path) -> None:
    for rank in range(3):
        (tmp_path / f"{rank}").mkdir()
        zipped(tmp_path / f"node{rank}.zip", {"rank.json": trace(rank, time=10 + rank)})
        (tmp_path / f"{rank}" / f"rank{rank}.json").write_bytes(trace(rank, time=20 + rank))
    expected = {str(tmp_path): 10, str(tmp_path / "node*.zip"): 10, str(tmp_path / "*" / "rank?.json"): 20,
                str(tmp_path / "[012]"): 20}  # fmt: skip
    for place, first in expected.items():
        job = traceanalyzer.analyze(place)
        assert [entry.busy_ns // 1000 for entry in job.ranks or ()] == [first, first + 1, first + 2]
    with pytest.raises(TraceFormatError, match=r"matches no traces"):
        traceanalyzer.analyze(str(tmp_path / "*.log"))


def test_a_file_that_is_called_like_a_pattern_or_a_member_is_itself(tmp_path: Path) -> None:
    for name in ("rank[0].json", "a.tar:rank0.json"):
        (tmp_path / name).write_bytes(trace(0))
        assert traceanalyzer.analyze(tmp_path / name).source.files[0].path == str(tmp_path / name)
