"""Bytes of a trace file to typed columns: blocks, events, repair, dialects."""
