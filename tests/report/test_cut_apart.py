"""Names that are too long are cut where they are alike, never where they differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.report.sanitize import cut, cut_apart

ADDMM = [f"aten::addmm [512] × [141, {n}] × [{n}, 512] bf16" for n in (512, 2048, 128, 640, 320)]


def test_rows_that_differ_in_a_shape_read_differently() -> None:
    shown = cut_apart(ADDMM, 38)
    assert len(set(shown)) == 5 and all(len(text) <= 38 for text in shown)
    same_ends = [f"aten::addmm [512] × [{n}, 512] × [512, 512000] bf16" for n in (141, 151, 161)]
    shown = cut_apart(same_ends, 38)
    assert all(str(n) in text for text, n in zip(shown, (141, 151, 161), strict=True))


def test_what_is_told_apart_is_cut_as_ever() -> None:
    texts = ["aten::gelu " + "x" * 90, "aten::mul " + "y" * 90, "short"]
    assert cut_apart(texts, 40) == [cut(text, 40) for text in texts]


def test_equal_names_stay_equal() -> None:
    assert len(set(cut_apart(["a" * 99] * 3, 30))) == 1


@given(st.lists(st.text("ab[] ,", min_size=1, max_size=80), max_size=6), st.integers(16, 60))
def test_nothing_is_longer_than_its_room(texts: list[str], room: int) -> None:
    assert all(len(text) <= room for text in cut_apart(texts, room))
