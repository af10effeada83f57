"""How the page looks: the answer on the first screen, no longer than it has to be, nothing overlapping."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser, Page, chromium, executable
from tests.report import example
from traceanalyzer import analyze
from traceanalyzer.report import render

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(executable() is None, reason="Chromium is not installed"),
]

TALLEST = 4500  # CSS pixels at a width of 1,280
SAMPLE = Path(__file__).parents[2] / "sample_traces" / "gpt_eager_cpu.json.gz"
REAL = os.environ.get("TRACEANALYZER_REAL_TRACES", "")
NAMES = ("infer_owlv2_h100", "infer_bert_small_h100", "train_gpt_compiled_h100_rank0of8",
         "train_recsys_a100_rank3of8")  # fmt: skip

BOXES = """
(selector => Array.from(document.querySelectorAll(selector)).map(e => {
  const r = e.getBoundingClientRect();
  return [e.textContent.slice(0, 40), r.left, r.top, r.right, r.bottom];
}))
"""
OVERLAPS = """
(() => {
  const box = e => e.getBoundingClientRect(), part = 1;
  const meet = (a, b) => a.left + part < b.right && b.left + part < a.right
    && a.top + part < b.bottom && b.top + part < a.bottom;
  const names = Array.from(document.querySelectorAll('.roofline .names text'));
  const texts = Array.from(document.querySelectorAll('.roofline text:not([transform])'));
  const marks = Array.from(document.querySelectorAll('.roofline .point path'));
  const found = [];
  names.forEach(name => [...texts, ...marks].forEach(other => {
    if (other !== name && meet(box(name), box(other))) {
      found.push([name.textContent, other.textContent || other.getAttribute('d')]);
    }
  }));
  return found;
})()
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def traces() -> list[Path]:
    found = [Path(REAL) / f"{name}.json.gz" for name in NAMES] if REAL else []
    return [SAMPLE, *(path for path in found if path.exists())]


@pytest.fixture(scope="module", params=traces(), ids=lambda path: path.name.removesuffix(".json.gz"))
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("layout") / "report.html"
    path.write_text(render(analyze(request.param), "html"), encoding="utf-8")
    return browser.open(path.as_uri(), width=1280)


@pytest.fixture(scope="module", params=example.EVERY_CASE)
def example_page(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Page:
    path = tmp_path_factory.mktemp("layout") / "report.html"
    path.write_text(render(example.EVERY_CASE[request.param](), "html"), encoding="utf-8")
    return browser.open(path.as_uri(), width=1280)


def bottom(page: Page, selector: str) -> float:
    boxes = page.evaluate(f"({BOXES})({selector!r})")
    return float(boxes[0][4])


@pytest.mark.slow
def test_the_page_is_no_longer_than_it_has_to_be(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST


@pytest.mark.slow
def test_the_first_screen_holds_the_answer_and_the_first_change(page: Page) -> None:
    for selector in ("h1", ".now .bar", ".change"):
        assert bottom(page, selector) <= 900, selector


@pytest.mark.slow
def test_names_on_the_roofline_cover_nothing(page: Page) -> None:
    assert page.evaluate(OVERLAPS) == []


def test_names_on_the_roofline_of_examples_cover_nothing(example_page: Page) -> None:
    assert example_page.evaluate(OVERLAPS) == []


def test_a_page_with_steps_leads_with_its_bar(example_page: Page) -> None:
    assert bottom(example_page, "h1") < bottom(example_page, ".now .bar") < 900
