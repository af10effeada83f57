"""`python -m traceanalyzer`: the same as `traceanalyze`."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # In place of the current folder, which `python -m` puts first: a statistics.py there must not replace the
    # standard library's. A script's own folder takes this place when `profile` runs it.
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from traceanalyzer.cli import main

    main(prog_name="traceanalyze")
