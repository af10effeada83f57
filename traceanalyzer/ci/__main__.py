"""`python -m traceanalyzer.ci report | finish` (the steps of action.yml), `... check`, `... comment FILE`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from traceanalyzer.ci.comment import finished
from traceanalyzer.ci.job import WRONG, comment, finish, report
from traceanalyzer.ci.required import held
from traceanalyzer.ci.workflow import annotation, log_line
from traceanalyzer.gate import Gate
from traceanalyzer.records.errors import TraceAnalyzerError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; what is wrong with the input is one line."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.command == "comment":
            return _comment(asked)
        if asked.command == "check":
            given = Gate(tuple(asked.require), tuple(asked.baseline), asked.strict)
            return held(asked.traces, given, asked.junit, _say)
        return report(os.environ, _say) if asked.command == "report" else finish(os.environ, _say)
    except TraceAnalyzerError as error:
        _say(annotation("error", str(error)) if os.environ.get("GITHUB_ACTIONS") else log_line(str(error)))
        return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m traceanalyzer.ci", description="Steps of CI jobs.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("report", help="files and outputs, from the environment that action.yml sets")
    commands.add_parser("finish", help="summary and comment, after the page was uploaded")
    _check_options(commands.add_parser("check", help="as `traceanalyze check`, also for a first run"))
    single = commands.add_parser("comment", help="write a comment, or replace the one of the same key")
    single.add_argument("file", help="Markdown, such as `traceanalyze diff -o comment.md` writes")
    single.add_argument("--key", default="traceanalyze", help="which comment it is")
    single.add_argument("--url", default="", help="of the page, linked below")
    single.add_argument("--pull-request", metavar="N", help="where the job does not say which")
    single.add_argument("--strict", action="store_true", help="exit 2 where the platform refuses it")
    return parser


def _check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("traces", nargs="+", help="runs of one program: traces, or reports")
    parser.add_argument("--require", action="append", default=[], metavar="EXPR")
    parser.add_argument(
        "--baseline", action="append", default=[], metavar="FILE", help="may not be there yet"
    )
    parser.add_argument("--junit", type=Path, metavar="OUT.xml", help="replaced where it is there")
    parser.add_argument("--strict", action="store_true", help="fail also where nothing can be told")


def _comment(asked: argparse.Namespace) -> int:
    try:
        text = Path(asked.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        fix = "write it with `traceanalyze diff BASE HEAD -o comment.md`"
        raise UsageError(f"{asked.file}: cannot be read ({reason})", fix=fix) from None
    text = finished(text, asked.key, {"The report": asked.url})
    written = comment(os.environ, text, asked.key, _say, asked.pull_request)
    return 0 if written or not asked.strict else WRONG


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
