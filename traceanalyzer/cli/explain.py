"""`traceanalyze explain NAME`: the formula behind an operator's figures, its source, and an example."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli import completion
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess

if TYPE_CHECKING:
    from traceanalyzer.cost import Formulas
    from traceanalyzer.fusion.rules import Rule
    from traceanalyzer.records import Device
    from traceanalyzer.records.priced import Formula


@click.command()
@click.argument("name", shell_complete=completion.explained)
@click.option(
    "--dims",
    multiple=True,
    metavar="DIMS",
    help="Work it through for inputs of these sizes, such "
    "as 512x1024,1024x512; - is no tensor, [4x4,8x8] a list of tensors. Repeats.",
)
@click.option(
    "--dtypes",
    default="fp32",
    show_default=True,
    metavar="TYPES",
    help="Their types: one for each tensor, or one for all, such as bf16.",
)
@click.option("--strides", default="", metavar="STRIDES", help="Their strides, written as --dims is.")
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar="N=TEXT",
    help='Argument N (from 0) that is no tensor, such as "3=[1, 1]". Repeats.',
)
@click.option(
    "--device",
    metavar="NAME",
    help="Compare with this accelerator's roofs.",
    shell_complete=completion.devices,
)
@click.option(
    "--cost-file",
    "cost_files",
    multiple=True,
    type=click.Path(dir_okay=False),
    metavar="F.py",
    help="Formulas of your own; the file is run. Repeats.",
)
def command(
    name: str, dims: tuple[str, ...], dtypes: str, strides: str, values: tuple[str, ...], device: str | None,
    cost_files: tuple[str, ...],
) -> None:  # fmt: skip
    """NAME is an operator as a trace spells it, such as aten::mm; a bare `mm` is taken for aten::mm. Or it
    is a rule, as a suggestion names it: what it detects, suggests and saves, and when not to apply it. Or it
    is any word of a report: a verdict, flag, reason, tier or cause of idle time, the code of a warning, a
    heading, a column, a threshold.

    \b
    traceanalyze explain aten::mm
    traceanalyze explain rms_norm
    traceanalyze explain latency_bound
    traceanalyze explain mm --dims 512x1024,1024x512 --dtypes bf16 --device h100-sxm5
    """
    from traceanalyzer.cost.user import user_formulas
    from traceanalyzer.device.options import named

    paragraphs = [] if dims else [*_meanings(name), *_rule_texts(name)]
    formulas = None if paragraphs and not cost_files else user_formulas(cost_files).catalog()
    if paragraphs and (formulas is None or formulas.of(name) is None):
        click.echo("\n\n".join(map(_wrapped, paragraphs)))
        return
    assert formulas is not None
    target = named(device) if device else None
    operator, formula = _formula(name, formulas)
    click.echo(f"{operator}\n" if formula.name == operator else f"{operator}  (as every {formula.name})\n")
    click.echo(inspect.cleandoc(formula.doc))
    click.echo(f"\nSource: {formula.source}")
    if dims:
        _work_through(operator, ",".join(dims), dtypes, strides, values, target, formulas)
    elif device or values or strides:
        raise UsageError("there is nothing to work through without the inputs' sizes", fix="give --dims")


def _meanings(name: str) -> Iterator[str]:
    """Of a word of a report and of a warning's code; a word may have several."""
    from traceanalyzer.report.warning_texts import warning_texts
    from traceanalyzer.report.word_texts import meanings_of

    for meaning in meanings_of(name):
        remedy = f". What helps: {meaning.remedy}" if meaning.remedy else ""
        yield f"{name} ({meaning.group}): {meaning.text}{remedy}"
    if name in warning_texts():
        yield f"{name}: {warning_texts()[name]}"


def _rule_texts(name: str) -> Iterator[str]:
    rule = _rule(name)
    if rule is not None:
        yield from (f"{rule.name}: {rule.title}", *rule.doc.strip().split("\n\n"), f"More: {rule.docs}")


def _wrapped(paragraph: str) -> str:
    """Commands and options stay whole."""
    return textwrap.fill(" ".join(paragraph.split()), 80, break_long_words=False, break_on_hyphens=False)


def _rule(name: str) -> Rule | None:
    from traceanalyzer.fusion.rules import rule_named

    return rule_named(name)


def _formula(name: str, formulas: Formulas) -> tuple[str, Formula]:
    """The operator's name as a trace spells it, and its formula; UsageError where there is none."""
    from traceanalyzer.cost import FORMULAS
    from traceanalyzer.cost.formulas.foreign import DATA_DEPENDENT_OPERATORS
    from traceanalyzer.fusion.rules import RULES
    from traceanalyzer.report.warning_texts import warning_texts
    from traceanalyzer.report.word_texts import word_texts

    for candidate in (name, f"aten::{name}"):
        if (formula := formulas.of(candidate)) is not None:
            return candidate, formula
        if candidate in DATA_DEPENDENT_OPERATORS:
            raise UsageError(f"{candidate} has no formula: {DATA_DEPENDENT_OPERATORS[candidate]}",
                             fix="give one of your own with --cost-file: docs/cost-model.md")  # fmt: skip
    names = {*FORMULAS, *(key.removeprefix("aten::") for key in FORMULAS), *(r.name for r in RULES),
             *warning_texts(), *word_texts()}  # fmt: skip
    raise UsageError(
        f"{name}: there is no formula, no rule, no warning and no word of this name",
        fix=guess(name, sorted(names), _fix(name)),
    )


def _fix(name: str) -> str:
    """A formula of one's own is of use for an operator, as its name says."""
    if "::" in name:
        return (
            "spell it as the trace does, such as aten::mm, "
            "or give a formula of your own with --cost-file: docs/cost-model.md"
        )
    return "spell it as the report does, such as memory_bound, rms_norm or aten::mm"


def _work_through(
    name: str, dims: str, dtypes: str, strides: str, values: tuple[str, ...], device: Device | None,
    formulas: Formulas,
) -> None:  # fmt: skip
    from traceanalyzer.cli.worked import Inputs, call_of, worked
    from traceanalyzer.records import Unpriced

    call = call_of(name, Inputs(dims, dtypes, strides, values))
    cost = formulas.price(call).cost
    if isinstance(cost, Unpriced) and cost.reason in ("formula_failed", "no_shapes"):
        raise UsageError(f"{name}: its formula cannot take these inputs: {cost.detail}",
                         fix="give every input in the order of the operator's schema, 8x4 for two "
                         "dimensions, - for an argument that is no tensor")  # fmt: skip
    click.echo()
    for line in worked(call, cost, device):
        click.echo(line)
