"""Ctrl-C: it is seen whatever the script makes of it, and nothing is measured after it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.collect.harness import SCRIPTS, document, finished, steps
from tests.collect.test_options import PROFILE
from traceanalyzer.collect.interrupts import SeenInterrupt


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes for signals")
def test_ctrl_c_is_seen_and_the_script_s_handler_is_called() -> None:
    called: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: called.append(number))
    try:
        with SeenInterrupt() as seen:
            assert not seen
            os.kill(os.getpid(), signal.SIGINT)
            assert called == [signal.SIGINT] and bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.set_wakeup_fd(-1) == -1


def test_after_ctrl_c_the_report_comes_without_measuring(tmp_path: Path) -> None:
    words = ["-o", "t.trace.json.gz", str(SCRIPTS / "ending.py"), "interrupt"]
    run = finished([*PROFILE[:-1], *words], tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert run.code == 130 and not any("measuring" in line for line in run.said)
    assert sum("after Ctrl-C this CPU's roofs are not measured. Fix: " in line for line in run.said) == 1
    assert steps(tmp_path / "t.trace.json.gz") == [5, 6, 7] and (tmp_path / "t.trace.report.html").exists()
    assert document(tmp_path / "t.trace.json.gz")["traceanalyze"]["cpu_roofs"] is None


@pytest.mark.slow
def test_a_script_that_handles_ctrl_c_itself_is_not_kept_waiting(tmp_path: Path) -> None:
    text = (SCRIPTS / "ending.py").read_text()
    graceful = "        try:\n            end()\n        except KeyboardInterrupt:\n            break\n"
    (tmp_path / "graceful.py").write_text(text.replace("        end()\n", graceful))
    words = ["--no-report", "graceful.py", "interrupt"]
    run = finished([*PROFILE[:-1], *words], tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert run.code == 0 and sum("after Ctrl-C" in line for line in run.said) == 1
