"""Which files an analysis reads: each is a name that any process can open."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from traceanalyzer.records.errors import TraceAnalyzerError, TraceFormatError
from traceanalyzer.trace.reading.chosen_ranks import of_ranks
from traceanalyzer.trace.reading.names import (
    ENDINGS,
    in_archive,
    is_archive,
    is_pattern,
    scheme,
    shown_name,
    traces_among,
)  # fmt: skip

Failed = list[tuple[str, Exception]]


def trace_files(given: Sequence[str], *, failed: Failed | None = None, ranks: str | None = None) -> list[str]:
    """The traces named by `given`: files, URLs, and what folders, patterns and archives hold, in their order.

    In a folder that holds files named `*.trace.json` or `*.trace.json.gz`, as the profiler names them,
    other JSON is left alone; so it is in an archive. `ranks` chooses some, see `of_ranks`. Raises
    TraceFormatError for a place without any; of several places it is kept in `failed`, where that is given.
    """
    paths: list[str] = []
    several = failed if len(given) > 1 else None
    for path in given:
        try:
            paths += _named(path, failed)
        except TraceAnalyzerError as error:
            if several is None:
                raise
            several.append((shown_name(path), error))
    first: dict[str, str] = {}
    for path in paths:
        first.setdefault(_same(path), path)
    files = list(first.values())
    return files if ranks is None or not files else of_ranks(files, ranks)


def may_name_several(path: str) -> bool:
    """Whether a folder, a pattern or an archive is named, as far as that is known without a request."""
    if scheme(path) is not None:
        from traceanalyzer.trace.reading import remote

        return in_archive(path)[1] is None and remote.may_name_several(path)
    return os.path.isdir(path) or is_archive(path) or (is_pattern(path) and not os.path.exists(path))


def can_be_read_again(path: str) -> bool:
    """Whether it is no stream, as standard input and pipes are."""
    return path != "-" and (os.path.isfile(path) or not os.path.exists(path))


def _same(path: str) -> str:
    """Equal for two spellings of one file."""
    return os.path.realpath(path) if os.path.exists(path) else path


def _named(path: str, failed: Failed | None) -> list[str]:
    """What one name stands for. Errors: TraceFormatError, UsageError where a package is missing."""
    if scheme(path) is None and os.path.isdir(path):
        return list(_archives_opened(_in_folder(Path(path)), failed))
    if os.path.exists(path) or in_archive(path)[1] is not None:
        return list(_archives_opened([path], failed))
    if scheme(path) is not None:
        return list(_archives_opened(_remote(path), failed))
    if is_pattern(path):
        return list(_archives_opened(_matching(path), failed))
    return [path]


def _archives_opened(paths: Sequence[str], failed: Failed | None) -> Iterator[str]:
    """Each archive replaced by the traces in it."""
    for path in paths:
        if not is_archive(path):
            yield path
            continue
        from traceanalyzer.trace.reading.archives import archived_traces

        try:
            names, broken = archived_traces(path)
        except TraceAnalyzerError as error:
            if failed is None or len(paths) == 1:
                raise
            names, broken = [], error
        if broken is not None and failed is not None:
            failed.append((shown_name(path), broken))
        yield from names


def _remote(url: str) -> list[str]:
    from traceanalyzer.trace.reading.remote import named_at

    names = named_at(url)
    return names if names == [url] else _chosen(names, shown_name(url), "names")


def _matching(pattern: str) -> list[str]:
    """Files, and the traces of folders, that a pattern of paths names."""
    names: list[str] = []
    for name in sorted(glob.glob(pattern, recursive=True)):
        names += _in_folder(Path(name)) if os.path.isdir(name) else [name]
    return _chosen(names, pattern, "matches")


def _in_folder(folder: Path) -> list[str]:
    try:
        names = sorted(str(file) for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise TraceFormatError(
            f"{folder}: cannot be read ({error.strerror})", fix="check that you may list and read the folder"
        ) from None
    return _chosen(names, str(folder), "is a folder with")


def _chosen(names: Sequence[str], where: str, verb: str) -> list[str]:
    """The traces and, where there are none, the archives among the names of one place."""
    chosen = traces_among(names) or [name for name in names if is_archive(name)]
    if not chosen:
        what = "is a folder without" if verb.startswith("is") else f"{verb} no"
        raise TraceFormatError(
            f"{where}: {what} traces ({', '.join(f'*{end}' for end in ENDINGS)})",
            fix="give a trace file, or a folder that holds some",
        )
    return chosen
