"""Judged and Suggestions in, the finished Analysis out: totals, coverage, self-check, what-if."""
