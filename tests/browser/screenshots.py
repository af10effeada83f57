"""Pictures of a report page: `python tests/browser/screenshots.py OUTDIR [report.html]`.

Without a page the example of the tests is rendered, and the README's picture is made anew. Writes light,
dark, narrow, without scripts, with an opened row, and as a PDF.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import Browser, chromium, executable  # noqa: E402

SAMPLE = "gpt_eager_cpu.json.gz"
VIEWS = (
    ("light", 1280, False, True),
    ("dark", 1280, True, True),
    ("narrow", 360, False, True),
    ("narrow-dark", 360, True, True),
    ("medium", 800, False, True),
    ("without-scripts", 1280, False, False),
)


def shoot(browser: Browser, page: Path, folder: Path) -> None:
    """Every picture of one page."""
    url, stem = page.resolve().as_uri(), page.name.removesuffix(".html")
    for name, width, dark, scripts in VIEWS:
        tab = browser.open(url, width=width, dark=dark, scripts=scripts)
        tab.screenshot(folder / f"{stem}.{name}.png")
        if name == "light":
            tab.screenshot(folder / f"{stem}.first-screen.png", whole=False)
            tab.evaluate("location.hash = '#op-1'")
            browser.listen(0.6)
            tab.screenshot(folder / f"{stem}.row.png", whole=False)
            tab.pdf(folder / f"{stem}.pdf")


def picture_of_the_readme(browser: Browser, folder: Path) -> None:
    """The first screen of the page of a sample trace."""
    import traceanalyzer

    page = folder / "sample.html"
    page.write_text(traceanalyzer.analyze(ROOT / "sample_traces" / SAMPLE).to_html(), encoding="utf-8")
    tab = browser.open(page.resolve().as_uri(), width=1040, height=760)
    tab.screenshot(ROOT / "docs" / "page.png", whole=False)


def main(arguments: list[str]) -> int:
    if not arguments or executable() is None:
        print(__doc__ if not arguments else "Chromium is not installed", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    pages = [Path(name) for name in arguments[1:]]
    if not pages:
        from tests.report.example import example_analysis
        from traceanalyzer.report import render

        pages = [folder / "example.html"]
        pages[0].write_text(render(example_analysis(), "html"), encoding="utf-8")
    with chromium() as browser:
        for page in pages:
            shoot(browser, page, folder)
        if not arguments[1:]:
            picture_of_the_readme(browser, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
