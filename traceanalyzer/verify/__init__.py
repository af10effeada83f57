"""Suggestions verified: a region rebuilt from recorded shapes, timed before and after the change, here."""
