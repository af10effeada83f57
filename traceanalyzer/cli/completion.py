"""What a shell completes behind options and commands; asked for by click, one key press a process.

Each takes what it needs when it is asked: `--help` imports none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_OPERATORS = "aten::"  # operators that `explain` takes without it


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, by the shell itself."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def devices(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the table of accelerators; behind a comma one more."""
    from traceanalyzer.device import device_specs

    before, comma, last = incomplete.rpartition(",")
    named = set(before.split(","))
    ids = ((spec.id, spec.names[0] if spec.names else "") for spec in device_specs())
    return _beginning(last, ((name, about) for name, about in ids if name not in named), before + comma)


def explained(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Rules, words of a report and codes of warnings; operators, once something is typed of them."""
    from traceanalyzer.report.warning_texts import warning_line, warning_texts
    from traceanalyzer.report.word_texts import word_texts

    named = {word: meanings[0].text for word, meanings in word_texts().items() if " " not in word}
    named |= {code: warning_line(code) for code in warning_texts() if code not in named}
    named |= _rules()
    if incomplete:
        named |= _operators()
    return _beginning(incomplete, named.items())


def rules(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the rules that `verify` takes."""
    return _beginning(incomplete, _rules().items())


def limits(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the limits that `--set` sets, each with its default."""
    from traceanalyzer.records.judged import Thresholds

    defaults = Thresholds().as_dict()
    return _beginning(incomplete, ((f"{name}={value:g}", "the default") for name, value in defaults.items()))


def _rules() -> dict[str, str]:
    from traceanalyzer.fusion.rules import RULES

    return {rule.name: rule.title for rule in RULES}


def _operators() -> dict[str, str]:
    """As a trace spells them, and without `aten::`, since bash takes a colon for the end of a word."""
    from traceanalyzer.cost import FORMULAS

    full = {name: _first_line(formula.doc) for name, formula in FORMULAS.items()}
    return full | {name.removeprefix(_OPERATORS): about for name, about in full.items()}


def commands(named: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """Names of commands, with what each is for."""
    return _beginning(incomplete, named)


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]


def _beginning(start: str, named: Iterable[tuple[str, str]], before: str = "") -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(before + name, help=about) for name, about in sorted(named) if name.startswith(start)
    ]
