"""An Analysis without absolute paths, host and user names, to be shown to others.

Every text of every part is looked at, so that a new field is covered by itself; only what has a closed list
of values, and what this program writes alone, is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, TypeVar, get_args

import msgspec

from traceanalyzer.records import Analysis, FormulaText, KernelTable, Notice, RuleCheck, Suggestion, Tool

Shown = TypeVar("Shown", bound=Analysis)

_PART = r"[^\s/\\:*?\"'<>|()\[\],;]+"  # of a path
_ROOT = r"(?:~[\w.-]*/|/|[A-Za-z]:[\\/]+|\\\\)"
_BEFORE = r"(?:(?<![\w./\\)\]}-])|(?<=\s-[A-Za-z]))"  # `--log=/x`, `host:/x`, `-d/x`; not `)/n`, `http://`
# `/home/alice/runs/x.py` -> `x.py`, `/data` -> `data`; not `aten/src/x`, `a / b`, `</b>`.
_FOLDERS = re.compile(rf"{_BEFORE}{_ROOT}(?:(?:{_PART}[\\/]+)+(?=\S|$)|(?<!</)(?=[A-Za-z_.]))")
_QUOTED = re.compile(
    r"(?<=([\"']))(?:~[\w.-]*/|/|[A-Za-z]:[\\/]+|\\\\)(?:(?!\1)[^\n])*[\\/](?=(?:(?!\1)[^\n])*\1)"
)
_FILE_URL = re.compile(r"file://[\w.-]*(?=/)")
_HOME = re.compile(rf"(?:^|[\\/])(?:home|[Uu]sers)[\\/]+({_PART})|(?<![\w/])~([\w.-]+)/")
_LOGIN = re.compile(r"(?<![\w.-])([\w.-]+)@([\w.-]*\w)")
# torch.profiler's handler for TensorBoard names files HOST_PID.TIME.pt.trace.json
_HOST = re.compile(r"(?<![\w.-])([\w.-]+?)_(?=\d+\.\d+\.pt\.trace\.json)")
# Accounts of container images: they name nobody, and reports are full of these words.
_NOBODY = frozenset({"user", "torch", "pytorch", "cuda", "nvidia", "triton", "python"})
_OWN_WORDS = {Tool: ("name", "version"), Notice: ("code",), Suggestion: ("rule", "docs"),
              RuleCheck: ("rule",)}  # fmt: skip


def redacted(analysis: Shown) -> Shown:
    """The same figures; no text shows folders, or a user or host name found in a path or an address."""
    rewritten = _Redactor(analysis).of(analysis)
    assert isinstance(rewritten, type(analysis))
    return rewritten


class _Redactor:
    """The names to hide in one analysis, and the texts without them."""

    def __init__(self, analysis: Analysis) -> None:
        self._known: dict[str, str] = {}
        self._paths = sorted((p for p in _paths(analysis) if _is_folded(p)), key=len, reverse=True)
        users, hosts = _names(analysis)
        self._hidden = [(_word(name), "host") for name in _longest_first(hosts)]
        self._hidden += [(_word(name), "user") for name in _longest_first(users - _NOBODY)]

    def of(self, value: Any) -> Any:
        """`value` with every text in it rewritten; the very same object where nothing had to be."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, tuple | list):
            shown = [self.of(item) for item in value]
            changed = any(new is not old for new, old in zip(shown, value, strict=True))
            return type(value)(shown) if changed else value
        if isinstance(value, KernelTable):
            return msgspec.structs.replace(
                value, names=self.of(list(value.names)), rows=self.of(list(value.rows))
            )
        if isinstance(value, msgspec.Struct):
            before = {name: getattr(value, name) for name in _texts_of(type(value))}
            after = {name: self.of(part) for name, part in before.items()}
            changes = {name: part for name, part in after.items() if part is not before[name]}
            return msgspec.structs.replace(value, **changes) if changes else value
        return value

    def _text(self, text: str) -> str:
        if text not in self._known:
            shown = self._rewritten(text)
            self._known[text] = text if shown == text else shown
        return self._known[text]

    def _rewritten(self, text: str) -> str:
        for path in self._paths:
            text = text.replace(path, _base(path))
        if "/" in text or "\\" in text:
            text = _FOLDERS.sub("", _QUOTED.sub("", _FILE_URL.sub("", text)))
        text = _HOST.sub("host_", text)
        for pattern, stand_in in self._hidden:
            text = pattern.sub(stand_in, text)
        return text


@cache
def _texts_of(record: type[msgspec.Struct]) -> tuple[str, ...]:
    """Fields that may hold free text, in themselves or below."""
    our_words = _OWN_WORDS.get(record, ())
    return tuple(
        field.name for field in msgspec.structs.fields(record)
        if field.name not in our_words and _holds_text(field.type)
    )  # fmt: skip


def _holds_text(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, str | msgspec.Struct):
        return True
    return annotation is Any or any(map(_holds_text, get_args(annotation)))


def _texts(value: Any) -> Iterator[str]:
    """Every free text in `value`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, KernelTable):
        yield from value.names
    elif isinstance(value, msgspec.Struct):
        for name in _texts_of(type(value)):
            yield from _texts(getattr(value, name))


def _paths(analysis: Analysis) -> set[str]:
    """Texts that are a path and nothing else, so that also one with spaces in it is known elsewhere."""
    paths = {file.path for file in analysis.source.files}
    paths |= {entry.file for entry in getattr(analysis, "ranks", None) or ()}
    if analysis.recording is not None and analysis.recording.script:
        paths.add(analysis.recording.script)
    return paths | {
        re.sub(r":\d+$", "", formula.source) for formula in analysis.formulas if _is_file(formula)
    }


def _is_file(formula: FormulaText) -> bool:
    """Whether its source is a place in a file of somebody's own, as `op_cost` writes it."""
    return re.search(r"\.py:\d+$", formula.source) is not None and _is_folded(formula.source)


def _is_folded(path: str) -> bool:
    return "/" in path or "\\" in path


def _names(analysis: Analysis) -> tuple[set[str], set[str]]:
    """(user names, host names) that paths and addresses hold."""
    users, hosts = set(), set()
    for text in set(_texts(analysis)):
        users |= {name for pair in _HOME.findall(text) for name in pair if name}
        hosts |= set(_HOST.findall(text))
    for text in set(_texts((analysis.source, analysis.recording))):
        for user, host in _LOGIN.findall(text):
            users.add(user)
            hosts |= {host, *_short(host)}
    return users, hosts


def _short(host: str) -> Iterator[str]:
    """`node-17` of `node-17.example.org`, where it looks like no common word."""
    first = host.partition(".")[0]
    if re.search(r"[a-zA-Z]", first) and re.search(r"[\d-]", first):
        yield first


def _word(name: str) -> re.Pattern[str]:
    """As a word of its own; `_` and `-` end one."""
    return re.compile(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])")


def _longest_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (-len(name), name))


def _base(path: str) -> str:
    """The file's own name; what a URL asks for may be a key to it."""
    path = path.partition("?")[0] if "://" in path else path
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
