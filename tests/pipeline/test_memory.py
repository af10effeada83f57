"""What is read is let go of: the garbage collector is off, so that nothing may refer to itself."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traceanalyzer.fusion.suggestions import suggest
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import Setup, judge_file, loaded_processes
from traceanalyzer.trace.reading.reader import read

TRACES = sorted((Path(__file__).parents[2] / "sample_traces").glob("*.json.gz"))


def only_the_collector_frees(call: Callable[[], object]) -> list[Any]:
    """What of this package remains when the call's result is gone: it refers to itself."""
    call()  # imports, and what is made once
    gc.collect()
    gc.disable()
    try:
        call()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return [each for each in gc.garbage if (_module_of(each) or "").startswith("traceanalyzer")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _module_of(thing: Any) -> str | None:
    """Of a function its own module, else that of its type."""
    return thing.__module__ if type(thing).__name__ == "function" else type(thing).__module__


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "stage",
    [
        read,
        lambda path: [*loaded_processes(path)],
        lambda path: [*judge_file(path, Setup.of(AnalyzeOptions()))],
        lambda path: [suggest(each, each) for each in judge_file(path, Setup.of(AnalyzeOptions()))],
    ],
    ids=["read", "complete", "judge", "suggest"],
)
def test_nothing_waits_for_the_collector(path: Path, stage: Callable[[str], object]) -> None:
    assert not only_the_collector_frees(lambda: stage(str(path)))


def test_what_refers_to_itself_is_seen() -> None:
    def cycle() -> None:
        setup = [Setup.of(AnalyzeOptions())]
        setup.append(setup)  # type: ignore[arg-type]

    assert only_the_collector_frees(cycle)
