"""`traceanalyze explain NAME`: the formula behind an operator's figures, with its source."""

from __future__ import annotations

import difflib
import inspect

import click

from traceanalyzer.errors import UsageError


@click.command(short_help="The formula behind an operator: FLOPs, bytes, assumptions, source.")
@click.argument("name")
def command(name: str) -> None:
    """NAME is an operator as a trace spells it, such as aten::mm; a bare `mm` is taken for aten::mm."""
    from traceanalyzer.cost import FORMULAS, formula_of

    formula = formula_of(name) or formula_of(f"aten::{name}")
    if formula is None:
        spelt = [*FORMULAS, *(known.removeprefix("aten::") for known in FORMULAS)]
        close = difflib.get_close_matches(name, spelt, n=4)
        like = f"; close are {', '.join(close)}" if close else ""
        raise UsageError(f"{name}: there is no formula of this name{like}",
                         fix="spell the operator as the report does, such as aten::mm")  # fmt: skip
    click.echo(f"{formula.name}\n")
    click.echo(inspect.cleandoc(formula.doc))
    click.echo(f"\nSource: {formula.source}")
