"""The result of `check`: lines for people, JSON, JUnit XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

import msgspec

from traceanalyzer.records import Check, Requirement, Value
from traceanalyzer.records.units import digits, duration, percent, si, unit_of
from traceanalyzer.report.sanitize import visible

_MARKS = {"holds": "ok", "broken": "BROKEN", "inconclusive": "cannot tell"}


def lines(check: Check) -> Iterator[str]:
    """One a requirement: `ok           memory_bound.share_of_busy is 41.2 %, wanted <= 45.0 %`."""
    return map(line, check.requirements)


def line(requirement: Requirement) -> str:
    """The outcome, then what it is about."""
    return f"{_MARKS[requirement.outcome]:12} {text(requirement)}"


def text(requirement: Requirement) -> str:
    """What is, what was wanted, and why nothing can be told where it cannot."""
    name, sign = requirement.name, re.findall("[<>=]+", requirement.expression)[0]
    parts = [f"{name} is {shown(name, requirement.value)}, wanted {sign} {shown(name, requirement.wanted)}"]
    if requirement.baseline is not None:
        parts.append(f"baseline {shown(name, requirement.baseline)}")
    if requirement.low is not None and requirement.high is not None:
        low, high = (shown(name, each) for each in (requirement.low, requirement.high))
        parts.append(f"between {low} and {high} (95 %)")
    if requirement.reason is not None:
        parts.append(requirement.reason)
    return "; ".join(parts)


def shown(name: str, value: Value) -> str:
    """With the unit that its name tells."""
    if value is None:
        return "not known"
    if isinstance(value, str | bool):
        return str(value).lower() if isinstance(value, bool) else visible(value)
    unit = unit_of(name)
    if unit == "ns":
        return duration(value)
    if unit == "share":
        return percent(value)
    return si(value, "B") if unit == "bytes" else digits(float(value))


def as_json(check: Check) -> str:
    """As `-o c.json` writes it."""
    return msgspec.json.format(msgspec.json.encode(check), indent=2).decode() + "\n"


def junit(check: Check, *, strict: bool) -> str:
    """JUnit XML: a test case a requirement; what cannot be told is skipped, with `strict` it fails."""
    cases, failures, skipped = [], 0, 0
    for each in check.requirements:
        body = ""
        if each.outcome == "broken" or (strict and each.outcome == "inconclusive"):
            failures += 1
            body = f"<failure message={quoteattr(text(each))}/>"
        elif each.outcome == "inconclusive":
            skipped += 1
            body = f"<skipped message={quoteattr(text(each))}/>"
        name = quoteattr(visible(each.expression))
        cases.append(f'  <testcase classname="traceanalyze" name={name}>{body}</testcase>\n')
    head = f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}"'
    file = visible(check.source.files[0].path)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="traceanalyze check" {head}>\n'
        f'  <properties><property name="trace" value={quoteattr(file)}/></properties>\n'
        f"{''.join(cases)}</testsuite>\n"
    )
