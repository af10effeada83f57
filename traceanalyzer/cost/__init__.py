"""What one operator call costs: FLOPs and compulsory bytes, or the reason why that is not known."""

from traceanalyzer.cost.classes import operator_class
from traceanalyzer.cost.registry import FORMULAS, Formula, formula_of, load_families, op_cost, price_call

__all__ = ["FORMULAS", "Formula", "formula_of", "load_families", "op_cost", "operator_class", "price_call"]
