"""What the text that names traces says: a path, a URL, a pattern, a trace inside an archive."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence

ENDINGS = (".json", ".json.gz", ".json.xz", ".json.bz2", ".json.zst")  # of traces
_URL = re.compile(r"(?:[a-z][a-z0-9+-]*::)*([a-z][a-z0-9+-]*)://", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/?#]*@")  # `name:password@`
_ARCHIVE = re.compile(
    r"(?P<archive>.+?\.(?:tar(?:\.(?:gz|xz|bz2|zst))?|tgz|zip)(?:\?[^:]*)?)(?::(?P<member>.+))?",
    re.IGNORECASE | re.DOTALL,
)


def scheme(name: str) -> str | None:
    """`s3` of `s3://bucket/run`; None of a local path."""
    match = _URL.match(name)
    return match[1].lower() if match else None


def is_web(name: str) -> bool:
    """Whether it is a URL of the web, where `?` begins what is asked for."""
    return scheme(name) in ("http", "https")


def shown_name(name: str) -> str:
    """The name as errors and reports show it: without user, password and what a URL asks for.

    A signature in the query of a URL opens the file to whoever reads it there.
    """
    if scheme(name) is None:
        return name
    archive, member = in_archive(name)
    where = _USER.sub("", archive if member else name)
    if is_web(where):
        where = re.split(r"[?#]", where, maxsplit=1)[0]
    elif "=" in where.partition("?")[2]:
        where = where.partition("?")[0]
    return f"{where}:{member}" if member else where


def in_archive(name: str) -> tuple[str, str | None]:
    """`run.tar` and `rank3.json.gz` of `run.tar:rank3.json.gz`; of any other name itself and None."""
    match = _ARCHIVE.fullmatch(name)
    if match is None or match["member"] is None or match["member"].startswith("//"):
        return name, None
    return match["archive"], match["member"]


def is_archive(name: str) -> bool:
    """Whether the name ends as an archive's does."""
    match = _ARCHIVE.fullmatch(name)
    return match is not None and match["member"] is None


def is_pattern(name: str) -> bool:
    """Whether it holds `*`, `[` or, but for the web, `?`."""
    if is_web(name):
        name = name.partition("?")[0]
    return glob.has_magic(name)


def traces_among(names: Sequence[str]) -> list[str]:
    """Those that name traces, in order; of these only `*.trace.json*`, where the profiler named some."""
    ending = [name for name in names if name.endswith(ENDINGS)]
    named = [name for name in ending if name.endswith(tuple(f".trace{end}" for end in ENDINGS))]
    return named or ending
