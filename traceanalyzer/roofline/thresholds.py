"""Limits of the verdicts that a user sets, with `--set NAME=X`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.records.spelling import guess


def from_settings(settings: Sequence[str]) -> Thresholds:
    """The limits of `--set NAME=X ...`; UsageError lists the names."""
    defaults = Thresholds().as_dict()
    chosen: dict[str, float] = {}
    for setting in settings:
        left, equals, text = setting.partition("=")
        name = left.strip()
        if name not in defaults or not equals:
            fix = guess(name, defaults.keys() - {name}, f"write NAME=X with one of {', '.join(defaults)}")
            raise UsageError(f"--set {setting}: names no limit", fix=fix)
        try:
            chosen[name] = float(text)
        except ValueError:
            chosen[name] = -1.0
        if not 0 <= chosen[name] < float("inf"):
            fix = f"write {name}={defaults[name]:g}, its default, or another number"
            raise UsageError(f"--set {setting}: {text!r} is not a number of 0 or more", fix=fix)
    limits = replace(Thresholds(), **chosen)
    if limits.floor_min_ns > limits.floor_max_ns or limits.floor_percentile > 100:
        raise UsageError(
            "--set: floor_min_ns is above floor_max_ns, or floor_percentile above 100",
            fix="set both ends of the launch floor, and a percentile of 0 to 100",
        )
    return limits
