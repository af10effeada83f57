"""Run with -m."""
