"""What can be won back, one file a rule: a new rule is a new file with a RULE in it."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules

from traceanalyzer.fusion.rules.base import Match, Rule

__all__ = ["Match", "Rule", "rules"]


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """Every rule, in the order in which they claim operators."""
    files = sorted(module.name for module in iter_modules(__path__) if module.name != "base")
    found = [rule for name in files for rule in _of(name)]
    return tuple(sorted(found, key=lambda rule: (rule.order, rule.name)))


def _of(name: str) -> tuple[Rule, ...]:
    rule: Rule = import_module(f"{__name__}.{name}").RULE
    return (rule,)
