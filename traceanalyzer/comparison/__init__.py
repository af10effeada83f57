"""Two sides in (one or more runs each, as Analyses), one Comparison out: what changed, by how much, how surely."""
