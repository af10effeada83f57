"""Many traces of one job."""
