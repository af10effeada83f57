#!/bin/sh
# ci/report.sh TRACES [BASELINE]: reports/ and a comment; exit 3 where a requirement of pyproject.toml is broken.
# TRACES: a trace, or a quoted pattern of the traces of several runs. BASELINE: a saved report, or a folder of them.
set -eu
baseline=${2:-}
rm -rf reports
mkdir -p reports/runs
number=0
for trace in $1; do
  number=$((number + 1))
  traceanalyze report "$trace" --quiet -o "reports/runs/$number.json"
done
traceanalyze report reports/runs/1.json -o reports/report.html -o reports/metrics.prom
if [ -e "$baseline" ]; then
  traceanalyze diff "$baseline" reports/runs -o reports/diff.html -o reports/comment.md
else # the first run
  traceanalyze report reports/runs/1.json --quiet -o reports/comment.md
fi
code=0
python -m traceanalyzer.ci check reports/runs ${baseline:+--baseline "$baseline"} --junit reports/junit.xml || code=$?
python -m traceanalyzer.ci comment reports/comment.md --key gpt --url "${PAGE_URL:-}"
exit "$code"
