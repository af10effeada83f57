"""A test over all items says which fail, and fails with one."""

from __future__ import annotations

import pytest

from tests.project.tree import over_all


def test_every_item_is_checked_and_named_where_it_fails() -> None:
    seen = []

    @over_all(iter([1, 2, 3]), "number {}".format)
    def odd(number: int) -> None:
        seen.append(number)
        assert number == 2

    with pytest.raises(ExceptionGroup, match="odd: 2 fail") as caught:
        odd()
    assert seen == [1, 2, 3]
    assert [failure.__notes__ for failure in caught.value.exceptions] == [["for number 1"], ["for number 3"]]
