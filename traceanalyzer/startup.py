"""What Python itself had imported before this package: the first of its modules to be loaded."""

from __future__ import annotations

import sys

LOADED = frozenset(sys.modules)
