"""Reports inside continuous integration: `python -m traceanalyzer.ci`, which action.yml runs."""
