"""Columns of a trace file to linked ones: nesting, launches, phases, steps."""
