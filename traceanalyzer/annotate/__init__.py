"""annotate/: a trace copied with its verdicts, costs and suggestions written into it."""
