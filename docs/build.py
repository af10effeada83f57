"""Writes docs/cost-model.md and docs/rules.md from the docstrings of formulas and rules: `make docs`.

The tests that hold what a rule leaves out are those that its test file marks `left_out`.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from traceanalyzer.cost import FORMULAS
from traceanalyzer.cost.formulas.foreign import DATA_DEPENDENT, DATA_DEPENDENT_OPERATORS
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.records.priced import Formula

PAGE = Path(__file__).with_name("cost-model.md")
HEAD = Path(__file__).with_name("cost-model.head.md")
RULES_PAGE = Path(__file__).with_name("rules.md")
RULE_TESTS = PAGE.parents[1] / "tests" / "fusion" / "rules"
RULES_HEAD = """# Rules: what a report suggests, and when not

`traceanalyze explain RULE` prints a rule. How savings are predicted, and how accurate that is:
[savings](savings.md). How sure a suggestion is of what it saw is its tier:

* T0: parts of one scope or composite operator, by construction.
* T1: tensor identities of an executed step, which `traceanalyze profile` records beside the timed ones.
  Exact: the same pairs as a second observer sees that keeps every tensor alive.
* T2: sizes and lifetimes of memory. A tensor is freed while only its reader can have held it; or one block
  alone can hold what an operator is given, and nobody else can have read that.
* T3: neighbors of one shape in one module, or an upper limit. The saving may be zero.

On six kinds of models, trained and in inference on a CPU, 637 of 637 edges of T2 are true (above 0.994 with
95 %, Wilson) and 308 of 347 of T3 (above 0.85); T2 finds 17 % of all edges. Layers repeat, so that these
edges are not independent of each other; on CUDA, whose allocator hands out larger blocks than are asked for,
T2 has not been verified yet.

`pytest -m slow tests/fusion/test_precision.py` compares the tiers with the true edges.

Where a trace shows that a rule's advice is taken already, or cannot help, the rule says nothing, or proves
nothing (T3). What shows it, and the tests in `tests/fusion/rules/test_RULE.py` that hold it
(`pytest -m left_out tests/fusion/rules`):

| rule | left out | tests |
|---|---|---|
"""
_TITLES = {
    "attention": "Attention", "convolution": "Convolutions", "cpp": "Compiled loops on a CPU",
    "foreign": "Decided by data, in other packages", "grouped": "Matmuls of groups",
    "jagged": "Decided by data, between two ends", "state_space": "State-space models",
    "indexing": "Embedding, gathering, scattering",
    "lists": "Lists of tensors and optimizers", "matmul": "Matmuls",
    "moves": "Copies, filling, views",
    "norms": "Softmax and normalization", "packed": "Matmuls of other packages",
    "pointwise": "Element-wise operators", "reductions": "Reductions, scans, sorting, losses, pooling",
    "serving": "Norms, gates and quantization of other packages", "triton": "Triton kernels",
}  # fmt: skip
_NAMES = 14  # operators that a heading names


def page() -> str:
    """The whole page; equal for equal formulas."""
    families: dict[str, dict[object, list[Formula]]] = defaultdict(lambda: defaultdict(list))
    for formula in FORMULAS.values():
        families[formula.price.__module__.rpartition(".")[2]][formula.price].append(formula)
    parts = [HEAD.read_text(encoding="utf-8")]
    for family, functions in sorted(families.items(), key=lambda item: _title(item[0])):
        parts.append(f"\n## {_title(family)}\n")
        for members in sorted(functions.values(), key=lambda one: min(f.name for f in one)):
            parts.extend(_section(members))
    parts.append("\n## Decided by data\n\nTheir work is not in a trace.\n\n")
    decided = sorted((DATA_DEPENDENT_OPERATORS | DATA_DEPENDENT).items())
    parts.extend(f"* `{name}`: {why}\n" for name, why in decided)
    return "".join(parts)


def _title(family: str) -> str:
    return _TITLES.get(family, family.capitalize())


def _section(members: list[Formula]) -> Iterator[str]:
    names = sorted(formula.name for formula in members)
    shown = ", ".join(f"`{name}`" for name in names[:_NAMES])
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    yield f"\n### {shown}{more}\n\n"
    yield f"```\n{inspect.cleandoc(members[0].doc)}\n```\n\nSource: {members[0].source}\n"


def rules_page() -> str:
    """What each rule leaves out, as a table; then every rule's other help texts, by name."""
    rules = sorted(RULES, key=lambda rule: rule.name)
    parts = [RULES_HEAD]
    for rule in rules:
        tests = " ".join(f"`{name}`" for name in tests_of_left_out(rule.name))
        left_out = " ".join(rule.part("Left out").split()).replace("|", "\\|")
        parts.append(f"| [{rule.name}](#{rule.name}) | {left_out} | {tests} |\n")
    for rule in rules:
        paragraphs = [" ".join(part.split()) for part in rule.doc.strip().split("\n\n")]
        shown = [part for part in paragraphs if not part.startswith("Left out:")]
        paragraph_text = "\n\n".join("**{}:**{}".format(*part.partition(":")[::2]) for part in shown)
        parts.append(f"\n## {rule.name}\n\n{rule.title}.\n\n{paragraph_text}\n\n[More]({rule.docs})\n")
    return "".join(parts)


def tests_of_left_out(rule: str) -> list[str]:
    """Names of the functions that are marked `left_out` in the rule's test file; none without such a file."""
    file = RULE_TESTS / f"test_{rule}.py"
    tree = ast.parse(file.read_text(encoding="utf-8")) if file.exists() else ast.Module([], [])
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [
        function.name for function in functions
        if any(ast.unparse(mark) == "pytest.mark.left_out" for mark in function.decorator_list)
    ]  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    RULES_PAGE.write_text(rules_page(), encoding="utf-8")
