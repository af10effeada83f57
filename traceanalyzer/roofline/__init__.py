"""Priced and a device in, Judged out: verdicts of rows, attributed times, idle time by cause."""
