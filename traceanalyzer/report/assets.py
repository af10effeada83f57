"""Where templates and the texts of warnings are: inside the package in a wheel, beside it in a checkout."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = Path(__file__).parents[1]


def asset_dir(name: str) -> Path:
    """The folder `name` of a wheel or of a checkout."""
    shipped = _PACKAGE / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


def asset(name: str) -> str:
    """The text of one file under templates/."""
    return (asset_dir("templates") / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Escapes everything; a name that is not given fails instead of printing nothing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(asset_dir("templates"), encoding="utf-8"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
