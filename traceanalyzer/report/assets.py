"""Where templates and the texts of warnings are: inside the package in a wheel, beside it in a checkout."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import BytecodeCache, Environment

_PACKAGE = Path(__file__).parents[1]
# What reading a damaged file of pickles and compiled code may raise (docs of pickle and marshal).
_UNREADABLE = (
    OSError,
    UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
)


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
        bytecode_cache=_kept(),
    )  # fmt: skip


def _kept() -> BytecodeCache | None:
    """Compiled templates, in a temporary folder that is the user's alone: a sixth of a small page's time."""
    from jinja2 import FileSystemBytecodeCache
    from jinja2.bccache import Bucket

    class Kept(FileSystemBytecodeCache):
        """Where nothing can be read or written they are compiled each time."""

        def load_bytecode(self, bucket: Bucket) -> None:
            try:
                super().load_bytecode(bucket)
            except _UNREADABLE:
                bucket.reset()

        def dump_bytecode(self, bucket: Bucket) -> None:
            with suppress(OSError):
                super().dump_bytecode(bucket)

    try:
        return Kept()
    except (OSError, RuntimeError):  # no such folder can be made, or it is somebody else's
        return None
