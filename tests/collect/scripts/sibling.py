"""Imported by arguments.py, which lies beside it."""

ANSWER = 42
