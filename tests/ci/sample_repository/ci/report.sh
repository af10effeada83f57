#!/bin/sh
# ci/report.sh TRACE [BASELINE]: reports/ and a comment; exit 3 where a requirement of pyproject.toml is broken.
set -eu
trace=$1
baseline=${2:-}
mkdir -p reports
traceanalyze report "$trace" -o reports/report.html -o reports/report.json -o reports/metrics.prom --force
if [ -f "$baseline" ]; then
  traceanalyze diff "$baseline" reports/report.json -o reports/diff.html -o reports/comment.md --force
  set -- --baseline "$baseline"
else # the first run
  traceanalyze report reports/report.json --quiet -o reports/comment.md --force
  set --
fi
code=0
traceanalyze check reports/report.json "$@" --junit reports/junit.xml --force || code=$?
python -m traceanalyzer.ci comment reports/comment.md --key gpt --url "${PAGE_URL:-}"
exit "$code"
