"""What all tests share: where real traces are, that nothing is skipped unnoticed, one thread a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import settings

ALLOWED_SKIPS = Path(__file__).parent / "allowed_skips.txt"

if "PYTEST_XDIST_WORKER" in os.environ:
    # There are as many workers as processors: second threads, here or in processes started here, would only
    # wait for each other. PyTorch reads this when it is loaded, which is later.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("default", deadline=None)  # no test measures seconds
settings.load_profile("default")


@pytest.fixture(scope="session")
def real_traces() -> Path:
    """A folder of real traces, named by whoever runs the tests; the test is skipped without one."""
    folder = os.environ.get("TRACEANALYZER_REAL_TRACES")
    if not folder:
        pytest.skip("TRACEANALYZER_REAL_TRACES is not set")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def kept_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept for a user between runs is neither read nor written; what pip keeps stays at hand."""
    packages = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pip"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PIP_CACHE_DIR", os.environ.get("PIP_CACHE_DIR", str(packages)))
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def allowed_skips() -> list[tuple[str, str]]:
    """(pattern of test ids, reason) of each line."""
    lines = ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(" # ") for line in lines if line.strip() and not line.startswith("#")]
    return [(pattern.strip(), reason.strip()) for pattern, _, reason in pairs]


class SkipGuard:
    """In CI, a skipped test fails the run unless it stands on the list with the reason it gives."""

    def __init__(self) -> None:
        self.skipped: list[tuple[str, str]] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not hasattr(report, "wasxfail"):
            self.note(report)

    def note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            self.skipped.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        yield
        listed = allowed_skips()
        unlisted = [
            (test, why) for test, why in self.skipped
            if not any(fnmatch(test, pattern) and why == reason for pattern, reason in listed)
        ]  # fmt: skip
        for test, why in unlisted:
            print(f"\nskipped, and not listed in {ALLOWED_SKIPS.name}: {test} ({why})")
        if unlisted and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    """Workers tell the process that started them of what they skip, so that one counts it."""
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipGuard())
