"""The requirements of a job that may be the first: what needs a baseline is left out, and nothing is fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from traceanalyzer.comparing import held_against
from traceanalyzer.gate import Gate, configured, is_missing, left_out_lines
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.report.check import junit, lines
from traceanalyzer.report.target import write_file

BROKEN = 3  # exit code


def held(traces: Sequence[str], given: Gate, report: Path | None, say: Callable[[str], None]) -> int:
    """0, or 3 where a requirement is broken; errors as of `check`. `report`: JUnit XML, written anew."""
    gate = given.over(configured())
    if not gate.require:
        say("nothing is required: [tool.traceanalyzer] of pyproject.toml may say what must hold")
    if not gate.baseline or is_missing(gate.baseline):
        missing, (gate, left_out) = gate.baseline, gate.without_baseline()
        for line in left_out_lines(missing, left_out):
            say(line)
    there = [path for path in gate.baseline if Path(path).exists()]
    result = held_against(traces, gate.require, there, AnalyzeOptions(kernels=False))
    for line in lines(result):
        say(line)
    if report is not None:
        write_file(report, junit(result, strict=gate.strict))
    return BROKEN if result.fails(strict=gate.strict) else 0
