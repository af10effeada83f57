"""`traceanalyze demo`: a report on the sample trace that ships with the package."""

from __future__ import annotations

import click

from traceanalyzer.cli import completion

SAMPLE = "gpt_eager_cpu.json.gz"
PAGE = "demo.report.html"


@click.command()
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="OUT",
    help=f"Write here instead of {PAGE}; the suffix is the format. Repeats.",
    shell_complete=completion.files,
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(outputs: tuple[str, ...], open_page: bool, force: bool) -> None:
    """Three training steps of a small GPT, recorded on a CPU with its measured roofs.

    Leaves demo.report.html in the current folder and prints the summary that `report` prints.
    """
    from traceanalyzer.cli.report import ReportRequest, run
    from traceanalyzer.report.assets import asset_dir

    sample = asset_dir("sample_traces") / SAMPLE
    run(ReportRequest(traces=(str(sample),), outputs=outputs, default_page=PAGE, force=force, open=open_page))
    click.echo("traceanalyze: next: traceanalyze report YOUR_TRACE.json.gz", err=True)
