"""Verdicts on rows, and which row owns which nanosecond."""
