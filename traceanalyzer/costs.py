"""The name of `traceanalyzer.formulas` in 0.1; it keeps working."""

import warnings

from traceanalyzer.formulas import *  # noqa: F403 - all of its public names, under the older one
from traceanalyzer.formulas import __all__ as __all__

warnings.warn("traceanalyzer.costs is traceanalyzer.formulas now", DeprecationWarning, stacklevel=2)
