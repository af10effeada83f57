"""Whether a suggestion keeps its promise: the region rebuilt from recorded shapes, run both ways, here."""
