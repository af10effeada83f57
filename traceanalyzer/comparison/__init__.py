"""Two sides in, each the Analyses of one or more runs; one Comparison out."""
