"""Cost formulas, one file a family of operators."""
