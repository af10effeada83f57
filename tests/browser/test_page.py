"""The page in a real browser: it asks for nothing, complains about nothing, fits, sorts, and can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser, Page, chromium, executable
from tests.browser.screenshots import main as take_screenshots
from tests.comparison.sides import product, row, run
from tests.report import example
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.report import render
from traceanalyzer.report.comparisons import render as render_comparison
from traceanalyzer.report.layers import merged

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(executable() is None, reason="Chromium is not installed"),
]

ROWS = "Array.from(document.querySelectorAll('#ops tbody'))"
SHOWN = f"{ROWS}.filter(b => getComputedStyle(b).display !== 'none')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every case as a file; case -> URL."""
    folder = tmp_path_factory.mktemp("pages")
    told = {}
    for name, make in {**example.EVERY_CASE, "many": lambda: example.many_rows(2000)}.items():
        path = folder / f"{name}.html"
        path.write_text(render(make(), "html"), encoding="utf-8")
        told[name] = path.as_uri()
    return told


@pytest.mark.parametrize("name", [*example.EVERY_CASE, "many"])
def test_it_asks_for_nothing_and_complains_about_nothing(
    browser: Browser, pages: dict[str, str], name: str
) -> None:
    page = browser.open(pages[name])
    assert page.requests == [pages[name]]
    assert page.complaints == []
    assert page.evaluate("document.title").endswith("– traceanalyze")


@pytest.mark.parametrize("width", [360, 800, 1280])
@pytest.mark.parametrize("name", ["training", "hostile", "suggestions", "ranks", "cpu"])
def test_nothing_sticks_out(browser: Browser, pages: dict[str, str], name: str, width: int) -> None:
    page = browser.open(pages[name], width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "Array.from(document.querySelectorAll('main *'))"
        ".filter(e => !e.closest('.scroll') && !e.closest('svg'))"
        f".filter(e => e.getBoundingClientRect().right > {width} + 1).map(e => e.tagName + '.' + e.className)"
    )
    assert wide == []


@pytest.mark.parametrize("scripts", [True, False])
def test_it_is_complete_without_scripts(browser: Browser, pages: dict[str, str], scripts: bool) -> None:
    page = browser.open(pages["training"], scripts=scripts)
    rows = len(merged(example.example_analysis()).op_rows)
    assert rows > 25
    shown = page.evaluate(f"{SHOWN}.length")
    assert shown == (25 if scripts else rows)
    assert page.evaluate("document.querySelectorAll('.roofline .point').length") == 25
    visible = page.evaluate(
        "Array.from(document.querySelectorAll('button, input')).filter(e => e.offsetParent !== null).length"
    )
    assert visible == 0 if not scripts else visible > 5
    page.evaluate("document.querySelector('#op-2 details').open = true")
    assert page.evaluate("getComputedStyle(document.querySelector('#op-2 .detail')).display") == "table-row"


def column(page: Page, index: int) -> list[str]:
    return list(page.evaluate(f"{ROWS}.map(b => b.rows[0].cells[{index}].getAttribute('data-v'))"))


def test_sorting_by_a_number_and_back(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.open(pages["training"])
    heads = page.evaluate("Array.from(document.querySelectorAll('#ops th')).map(h => h.textContent)")
    index = heads.index("of roof")
    for order in ("descending", "ascending"):
        page.evaluate(f"document.querySelectorAll('#ops th button')[{index}].click()")
        told = column(page, index)
        known = [float(v) for v in told if v]
        assert known == sorted(known, reverse=order == "descending")
        assert all(told[: len(known)]), "what is not known stands last"
        sorts = page.evaluate("Array.from(document.querySelectorAll('#ops th')).map(h => h.ariaSort)")
        assert sorts.count("none") == len(sorts) - 1
        assert sorts[index] == order
    page.evaluate("document.querySelectorAll('#ops th button')[0].click()")
    names = page.evaluate(f"{ROWS}.map(b => b.rows[0].cells[0].textContent.trim().toLowerCase())")
    assert names == sorted(names)


def test_a_header_can_be_reached_and_used_by_keyboard(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.open(pages["training"])
    page.evaluate("document.querySelectorAll('#ops th button')[3].focus()")
    page.press("Enter")
    assert page.evaluate("document.querySelectorAll('#ops th')[3].ariaSort") == "descending"


def test_the_filter_finds_rows_beyond_the_first(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.open(pages["training"])
    page.evaluate(
        "(f => { f.value = 'embed forward'; f.dispatchEvent(new Event('input')); })"
        "(document.getElementById('filter'))"
    )
    rows = merged(example.example_analysis()).op_rows
    wanted = [i for i, r in enumerate(rows, 1) if r.module == "model.embed" and r.phase == "forward"]
    assert page.evaluate(f"{SHOWN}.length") == len(wanted) == 2 and min(wanted) > 25
    points = "document.querySelectorAll('.roofline .point:not(.off)').length"
    assert page.evaluate(points) == 2


def test_a_verdict_can_be_switched_off(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.open(pages["training"])
    page.evaluate("document.querySelector('button.key[data-verdict=memory_bound]').click()")
    page.evaluate("document.getElementById('all').click()")
    verdicts = set(page.evaluate(f"{SHOWN}.map(b => b.dataset.verdict)"))
    assert "memory_bound" not in verdicts
    assert "compute_bound" in verdicts
    assert page.evaluate("document.querySelectorAll('.point.memory_bound:not(.off)').length") == 0


def test_points_answer_to_the_keyboard(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.open(pages["training"])
    assert page.evaluate("document.querySelectorAll('.roofline a[tabindex=\"0\"]').length") == 1
    page.evaluate("document.querySelector('.roofline a[tabindex=\"0\"]').focus()")
    first = page.evaluate("document.getElementById('tip').textContent")
    assert "of busy time" in first
    page.press("ArrowRight")
    assert page.evaluate("document.getElementById('tip').textContent") != first
    page.press("Enter")
    browser.listen(0.3)
    number = page.evaluate("location.hash")
    assert number == "#op-2"
    assert page.evaluate(f"document.querySelector('{number} details').open") is True
    page.press("Escape")


def test_a_link_to_a_hidden_row_shows_it(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.open(pages["training"])
    page.evaluate("location.hash = '#op-30'")
    browser.listen(0.3)
    assert page.evaluate("document.getElementById('op-30').offsetParent !== null") is True


def test_the_theme_can_be_switched_and_follows_the_system(browser: Browser, pages: dict[str, str]) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = (browser.open(pages["training"], dark=d) for d in (False, True))
    bright, dim = light.evaluate(ground), dark.evaluate(ground)
    assert bright != dim
    light.evaluate("document.getElementById('theme').click()")
    assert light.evaluate(ground) == dim
    light.evaluate("document.getElementById('theme').click()")
    assert light.evaluate(ground) == bright


CONTRAST = """
(() => {
  const rgb = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const lum = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) { return c; } } return [255, 255, 255]; };
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = Array.from(e.childNodes).some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('svg') || e.offsetParent === null || e.closest('script')) { continue; }
    const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) { low.push([e.tagName, e.className, e.textContent.slice(0, 30)]); }
  }
  return low;
})()
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["training", "suggestions", "salvaged"])
def test_text_can_be_read_in_both_themes(
    browser: Browser, pages: dict[str, str], name: str, dark: bool
) -> None:
    page = browser.open(pages[name], dark=dark)
    assert page.evaluate(CONTRAST) == []


def test_no_attack_runs(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.open(pages["hostile"])
    assert page.evaluate("document.title") != "owned"
    assert page.evaluate("document.querySelectorAll('main img, main script, main iframe').length") == 0
    page.evaluate("document.querySelectorAll('#ops details').forEach(d => { d.open = true; })")
    browser.listen(0.3)
    assert page.requests == [pages["hostile"]]
    assert page.complaints == []


def test_the_csv_button_gives_every_row(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.open(pages["hostile"])
    page.evaluate(
        "URL.createObjectURL = blob => { window.given = blob; return '#'; };"
        "HTMLAnchorElement.prototype.click = function () {};"
        "document.getElementById('csv').click()"
    )
    text = page.evaluate("window.given.text()")
    assert text.startswith("name,input_dims,")
    assert "\n'=cmd()," in text


def test_pictures_can_be_taken(tmp_path: Path) -> None:
    assert take_screenshots([str(tmp_path)]) == 0
    assert {p.suffix for p in tmp_path.iterdir()} == {".html", ".png", ".pdf"}
    assert all(p.stat().st_size > 10_000 for p in tmp_path.iterdir())


@pytest.fixture(scope="module")
def comparison_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hundred changes of operators with long names."""
    changed = [row(f"a_long_{'name_' * 9}{n}", 40_000 * (n + 1), (4096, 11008), (n + 1, 4096))
               for n in range(99)]  # fmt: skip
    same = product("mm", 60_000_000, (64, 64), (64, 64))
    comparison = comparison_of([run(same, row("mul", 900_000, (64, 64)))], [run(same, *changed)])
    path = tmp_path_factory.mktemp("diff") / "diff.html"
    path.write_text(render_comparison(comparison, "html"), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False)])
def test_a_comparison_fits_without_scrolling_sideways(
    browser: Browser, comparison_page: str, width: int, dark: bool
) -> None:
    page = browser.open(comparison_page, width=width, dark=dark)
    assert page.requests == [comparison_page] and page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        "Array.from(document.querySelectorAll('.scroll')).filter(e => e.scrollWidth > e.clientWidth).length"
    )
    assert cut == 0, "the change is the last column"
    shown = "getComputedStyle(document.querySelector('.changes th:last-child')).display"
    assert page.evaluate(shown) == "table-cell"
    keys = page.evaluate("Array.from(document.querySelectorAll('.keys li')).map(e => e.className)")
    assert {"memory_bound", "idle"} <= set(keys), "thin segments have no room for a label"


def test_a_printed_comparison_is_short(browser: Browser, comparison_page: str, tmp_path: Path) -> None:
    page = browser.open(comparison_page)
    page.pdf(tmp_path / "diff.pdf")
    pages = len(re.findall(rb"/Type /Page\b[^s]", (tmp_path / "diff.pdf").read_bytes()))
    assert 1 <= pages <= 4
