"""What one operator call costs: FLOPs and compulsory bytes, or the reason why that is not known."""

from traceanalyzer.cost.catalog import BUILT_IN, Formulas, formula_of, price_call
from traceanalyzer.cost.classes import operator_class
from traceanalyzer.cost.registry import FORMULAS

__all__ = ["BUILT_IN", "FORMULAS", "Formulas", "formula_of", "operator_class", "price_call"]
