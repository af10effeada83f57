"""All formulas that hold for one analysis: a user's own before the built-in ones."""

from __future__ import annotations

from collections.abc import Iterable

import traceanalyzer.cost.formulas  # noqa: F401 - registers the built-in formulas
from traceanalyzer.cost.registry import FORMULAS, USER_TRITON, matching, price_with
from traceanalyzer.records import Cost, OpCall, Unpriced
from traceanalyzer.records.priced import Formula, PricedCall


class Formulas:
    """Looks up what prices an op; each name is searched once."""

    def __init__(self, own: Iterable[Formula] = ()) -> None:
        self.own = {formula.name: formula for formula in own}
        self._known: dict[str, Formula | None] = {}

    def of(self, name: str) -> Formula | None:
        """Of an op, by its name, else by the longest pattern it fits; the user's own come first."""
        if name not in self._known:
            self._known[name] = matching(name, self.own) or matching(name, FORMULAS)
        return self._known[name]

    def named(self, name: str, *, triton: bool) -> Formula | None:
        """Of an operator, or of a Triton kernel that nobody has a formula for."""
        return self.of(name) or (FORMULAS[USER_TRITON] if triton else None)

    def price(self, call: OpCall) -> PricedCall:
        """What one invocation costs, or why that is not known, and the formula that says so."""
        formula = self.named(call.name, triton=call.triton)
        return PricedCall(call, price_with(formula, call), formula)


BUILT_IN = Formulas()


def formula_of(name: str) -> Formula | None:
    """The built-in formula of an op."""
    return BUILT_IN.of(name)


def price_call(call: OpCall, formulas: Formulas = BUILT_IN) -> Cost | Unpriced:
    """What one invocation costs, or why that is not known."""
    return formulas.price(call).cost
