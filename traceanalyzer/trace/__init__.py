"""Bytes of a profiler file in, linked columns out."""
