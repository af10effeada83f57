"""`python -m traceanalyzer`: the same as `traceanalyze`."""

from __future__ import annotations

from traceanalyzer.cli import main

if __name__ == "__main__":
    main(prog_name="traceanalyze")
