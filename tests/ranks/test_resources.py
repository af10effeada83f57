"""What may be used at once; and which devices may be on top."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ranks.many import work_of
from traceanalyzer import machine
from traceanalyzer.ranks import resources
from traceanalyzer.ranks.leading import Leading
from traceanalyzer.ranks.pool import jobs_for
from traceanalyzer.ranks.progress import Total

V2 = {
    "/proc/self/cgroup": "0::/a/b\n",
    "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
    "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
    "/proc/meminfo": "MemTotal: 90000 kB\nMemAvailable: 8000000 kB\n",
    "/sys/fs/cgroup/a/memory.max": "4000000000\n",
    "/sys/fs/cgroup/a/memory.current": "3000000000\n",
    "/sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 500000000\n",
    "/sys/fs/cgroup/a/b/memory.max": "max\n",
}
V1 = {
    "/proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a\n",
    "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "300000\n",
    "/sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000000000\n",
    "/sys/fs/cgroup/memory/a/memory.usage_in_bytes": "900000000\n",
    "/sys/fs/cgroup/memory/a/memory.stat": "total_inactive_file 100000000\n",
}


@pytest.mark.parametrize(
    ("files", "affine", "cores", "free"),
    [(V2, 16, 1, 1_500_000_000), (V1, 16, 3, 200_000_000), (V1, 2, 2, 200_000_000), ({}, 4, 4, None)],
)
def test_the_least_of_all_limits(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], affine: int, cores: int, free: int | None
) -> None:
    monkeypatch.setattr(machine, "system_text", lambda path: files.get(str(path), ""))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(affine)), raising=False)
    assert resources.cores() == cores
    assert resources.free_bytes() == free


def test_no_more_at_once_than_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for number, size in enumerate((10**9, 10**6, 10**9, 10**8)):
        files.append(str(tmp_path / f"{number}.json"))
        with open(files[-1], "wb") as file:
            file.truncate(size)
    needs = sorted((resources.needed_bytes(file) for file in files), reverse=True)
    for free in range(0, 10**10, 10**8):
        monkeypatch.setattr(resources, "free_bytes", lambda free=free: free)
        fit = max((n for n in range(1, 5) if sum(needs[:n]) <= 0.8 * free), default=1)
        assert resources.jobs_that_fit(files, 4) == fit
        assert jobs_for(files, 3) == min(fit, 3)
        assert resources.jobs_that_fit(files, 2) == min(fit, 2)


def test_processes_are_not_started_for_little(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("x", encoding="utf-8")
    files = [str(tmp_path / name) for name in "ab"]
    assert jobs_for(files, None) == 1
    assert jobs_for(files, 8) == 2
    assert jobs_for(files[:1], 8) == jobs_for([files[0], "-"], 8) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_the_busiest_and_the_one_that_waits_least_have_led(times: list[tuple[int, int]]) -> None:
    known, led = Leading(), list[tuple[int, int]]()
    for busy, waiting in times:
        work = work_of(busy_ns=busy, communication_ns=waiting)
        if known.leads(work):
            led.append((busy, waiting))
            known = known.joined(work)
    assert max(busy for busy, _ in led) == max(busy for busy, _ in times)
    assert min(waiting for _, waiting in led) == min(waiting for _, waiting in times)


def test_what_was_not_asked_for_does_not_lead() -> None:
    of = work_of(rank=3, device_index=1)
    assert Leading(3, 1).leads(of) and Leading(gpu=1).leads(of)
    assert not Leading(2).leads(of) and not Leading(3, 0).leads(of)


def test_progress_never_goes_back(tmp_path: Path) -> None:
    seen: list[int] = []
    file = tmp_path / "a.json"
    file.write_bytes(bytes(100))
    total = Total(seen.append)
    total.of("b")(30)
    total.of(str(file))(40)
    total.of(str(file))(20)
    total.finished(str(file))
    assert seen == [30, 70, 130]
