"""Trace in, Priced out: FLOPs and compulsory bytes of each operator call, or why it has no cost."""

from traceanalyzer.cost.catalog import BUILT_IN, Formulas, formula_of, price_call
from traceanalyzer.cost.classes import operator_class
from traceanalyzer.cost.registry import FORMULAS

__all__ = ["BUILT_IN", "FORMULAS", "Formulas", "formula_of", "operator_class", "price_call"]
