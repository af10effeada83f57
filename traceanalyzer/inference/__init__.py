"""Inference: what a trace does not record and its other rows prove (shapes, dtypes, borrowed calls)."""
