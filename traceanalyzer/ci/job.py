"""The two steps of action.yml: `report` before the page is uploaded, `finish` after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path

import msgspec

from traceanalyzer.analyzing import analyze
from traceanalyzer.ci.api import Refusal
from traceanalyzer.ci.comment import body, finished
from traceanalyzer.ci.sticky import put
from traceanalyzer.ci.threads import NoThread, thread_of
from traceanalyzer.ci.workflow import Level, add_summary, annotation, log_line, set_outputs
from traceanalyzer.comparing import check, compare
from traceanalyzer.comparison.expressions import parsed
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Analysis, Check, Comparison
from traceanalyzer.records.errors import TraceAnalyzerError, UsageError
from traceanalyzer.records.job import ranks_of
from traceanalyzer.report import render
from traceanalyzer.report.check import text as told
from traceanalyzer.report.comment_marker import comment_marker
from traceanalyzer.report.comparisons import render as render_comparison
from traceanalyzer.report.sentence import is_judged
from traceanalyzer.report.target import write_file
from traceanalyzer.runs import Reading, given_runs, read_runs
from traceanalyzer.trace import may_name_several

BROKEN, WRONG = 3, 2  # exit codes
_READING = Reading(AnalyzeOptions(kernels=False))
_COMMENT = ("auto", "always", "never")
_LEVELS: dict[str, Level] = {"broken": "error", "inconclusive": "notice"}

Environment = Mapping[str, str]
Say = Callable[[str], None]


class Inputs(msgspec.Struct, frozen=True):
    """The inputs of the action."""

    traces: tuple[str, ...]  # runs of one program
    baseline: tuple[str, ...]
    require: tuple[str, ...]
    comment: str
    name: str  # of the files, and the key of the comment
    folder: Path

    @classmethod
    def of(cls, environment: Environment) -> Inputs:
        """UsageError where one is not understood."""
        given = {name: environment.get(f"INPUT_{name}", "").strip()
                 for name in ("TRACE", "BASELINE", "REQUIRE", "COMMENT", "ARTIFACT_NAME")}  # fmt: skip
        comment, name = given["COMMENT"] or "auto", given["ARTIFACT_NAME"] or "traceanalyze"
        if not given["TRACE"]:
            raise UsageError("the input trace is empty", fix="give it a trace, a folder or a saved report")
        if comment not in _COMMENT:
            raise UsageError(f"the input comment is {comment!r}", fix=f"use {', '.join(_COMMENT)}")
        comment_marker(name)
        folder = Path(environment.get("RUNNER_TEMP") or ".") / "traceanalyze-reports"
        return cls(
            _files(given["TRACE"]), _files(given["BASELINE"]), tuple(_lines_of(given["REQUIRE"])), comment,
            name, folder,
        )  # fmt: skip


def _lines_of(text: str) -> Iterator[str]:
    return filter(None, map(str.strip, text.splitlines()))


def _files(text: str) -> tuple[str, ...]:
    """A file or folder a line; a pattern is all that it fits, and itself where it fits nothing."""
    files: list[str] = []
    for line in _lines_of(text):
        files += [line] if Path(line).exists() else sorted(glob(line, recursive=True)) or [line]
    return tuple(dict.fromkeys(files))


class Results(msgspec.Struct, frozen=True):
    """What the step `report` made of the traces."""

    analysis: Analysis  # of the first
    runs: tuple[Analysis, ...]
    comparison: Comparison | None
    result: Check | None

    @property
    def regression(self) -> str:
        """Whether the step is slower: true, false, or unknown without a baseline or a verdict."""
        if self.comparison is None or self.comparison.step_ns.verdict == "cannot_tell":
            return "unknown"
        return "true" if self.comparison.step_ns.verdict == "slower" else "false"


def report(environment: Environment, say: Say) -> int:
    """Files and outputs; 0 unless the inputs are wrong. A broken requirement is the output `exit-code`.

    Without a requirement a trace that cannot be read is a warning: a job fails only where that was asked for.
    """
    inputs = Inputs.of(environment)
    try:
        results = _results(inputs, say)
    except TraceAnalyzerError as error:
        say(annotation("error" if inputs.require else "warning", str(error)))
        return WRONG if inputs.require else 0
    set_outputs(environment, _written(inputs, results))
    for line in _lines(results):
        say(line)
    return 0


def _results(inputs: Inputs, say: Say) -> Results:
    for text in inputs.require:
        parsed(text)  # what is no requirement is told before anything is read
    read = [(path, run) for path in map(str, given_runs(inputs.traces, "trace"))
            for run in read_runs([path], _READING, "trace")]  # fmt: skip
    before = _baseline(inputs.baseline, read[0][1], say)
    runs = [_of_the_same_rank(path, run, before[0], say) if before else run for path, run in read]
    if len(runs) > 1:
        say(log_line(f"the report is of the first of {len(runs)} runs, comparison and requirements of all"))
    require = [text for text in inputs.require if before or not parsed(text).relative]
    for text in inputs.require:
        if text not in require:
            say(annotation("warning", f"{text}: cannot be told without a baseline"))
    return Results(
        runs[0], tuple(runs),
        compare(before, runs) if before else None,
        check(runs, require, baseline=before or None) if require else None,
    )  # fmt: skip


def _baseline(paths: Sequence[str], analysis: Analysis, say: Say) -> list[Analysis]:
    """Of folders of ranks the rank that the report shows. What cannot be read is a warning, and left out."""
    runs: list[Analysis] = []
    for path in paths:
        try:
            runs += read_runs([path], _READING, "baseline", analysis)
        except TraceAnalyzerError as error:
            say(annotation("warning", f"baseline: {error}"))
    return runs


def _of_the_same_rank(trace: str, analysis: Analysis, before: Analysis, say: Say) -> Analysis:
    """Of a folder of ranks the one that a saved baseline shows; another rank does other work."""
    shown, wanted = analysis.source.files[0].rank, before.source.files[0].rank
    if shown == wanted or wanted not in {entry.rank for entry in ranks_of(analysis)} or wanted is None:
        return analysis
    if not may_name_several(trace):
        said = f"rank {shown} of a saved report is compared with rank {wanted} of the baseline"
        say(annotation("warning", said))
        return analysis
    say(log_line(f"rank {wanted}, which the baseline shows, in the place of rank {shown}"))
    return analyze(trace, options=AnalyzeOptions(rank=wanted, kernels=False))


def _written(inputs: Inputs, results: Results) -> dict[str, str]:
    """Write every file; the outputs that name them."""
    inputs.folder.mkdir(parents=True, exist_ok=True)
    paths = {format: inputs.folder / f"{inputs.name}.{format}" for format in ("html", "json", "prom", "md")}
    for format in ("html", "json", "prom"):
        write_file(paths[format], render(results.analysis, format))
    runs = inputs.folder / f"{inputs.name}-runs"
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir()
    for number, run in enumerate(results.runs, 1):
        write_file(runs / f"{number}.json", render(run, "json"))
    write_file(paths["md"], body(results.analysis, results.comparison, results.result))
    broken = results.result is not None and results.result.fails(strict=False)
    shares = results.analysis.memory_bound
    outputs = {
        "report-path": str(paths["html"]), "comment-path": str(paths["md"]), "runs-path": str(runs),
        "memory-bound-share": repr(shares.share_of_busy) if is_judged(results.analysis) else "",
        "regression": results.regression, "exit-code": str(BROKEN if broken else 0),
    }  # fmt: skip
    if results.comparison is not None:
        page = inputs.folder / f"{inputs.name}-diff.html"
        write_file(page, render_comparison(results.comparison, "html"))
        outputs["comparison-path"] = str(page)
    return outputs


def _lines(results: Results) -> Iterator[str]:
    """For the log, and as annotations what a reviewer has to see."""
    if results.comparison is not None:
        is_slower = results.regression == "true"
        sentence = results.comparison.sentence
        yield annotation("warning", sentence) if is_slower else log_line(sentence)
    for each in results.result.requirements if results.result is not None else ():
        level = _LEVELS.get(each.outcome)
        yield annotation(level, told(each), each.outcome) if level else log_line(f"holds: {told(each)}")


def finish(environment: Environment, say: Say) -> int:
    """Summary and comment, now that the page has an address; then the code that `report` left."""
    code = int(environment.get("EXIT_CODE") or 0)
    inputs, path = Inputs.of(environment), environment.get("COMMENT_PATH")
    if not path:
        return code
    text = Path(path).read_text(encoding="utf-8")
    pages = {"The report": environment.get("PAGE_URL", ""),
             "The comparison": environment.get("COMPARISON_URL", "")}  # fmt: skip
    text = finished(text, inputs.name, pages)
    if not add_summary(environment, text):
        say(annotation("warning", "the step summary would be over 1,024 KiB and is left out"))
    written = inputs.comment == "never" or comment(environment, text, inputs.name, say)
    return code or (0 if written or inputs.comment == "auto" else WRONG)


def comment(
    environment: Environment, text: str, key: str, say: Say, number: str | None = None
) -> bool:  # fmt: skip
    """Write the comment where there is a pull request; False where it was refused, which is a warning."""
    try:
        thread = thread_of(environment, number)
        if isinstance(thread, NoThread):
            say(log_line(f"no comment: {thread.why}"))
            return not thread.is_fork
        outcome = put(thread, text, key)
    except (Refusal, UsageError) as refusal:
        say(annotation("warning", f"no comment: {refusal}") if environment.get("GITHUB_ACTIONS")
            else log_line(f"warning: no comment: {refusal}"))  # fmt: skip
        return False
    say(log_line(f"comment {outcome}"))
    return True
