"""What a file is that is no PyTorch profiler trace, told by how it begins."""

from __future__ import annotations

import re

from traceanalyzer.records.errors import TraceFormatError

GIVE = "give the .json or .json.gz that torch.profiler's export_chrome_trace wrote"
# Leading bytes -> what the file is, and what to do.
_MAGICS = (
    (b"PK\x03\x04", "is a zip archive", "let its name end in .zip, or give the trace inside"),
    (b"SQLite format 3", "is an SQLite database (Nsight Systems?), not a PyTorch trace", GIVE),
    (b"\x80\x02", "is a Python pickle (a PyTorch memory snapshot?), not a trace", GIVE),
    (b"\x80\x03", "is a Python pickle (a PyTorch memory snapshot?), not a trace", GIVE),
    (b"\x80\x04", "is a Python pickle (a PyTorch memory snapshot?), not a trace", GIVE),
    (b"\x80\x05", "is a Python pickle (a PyTorch memory snapshot?), not a trace", GIVE),
    (b"\xff\xfe", "is UTF-16 text", "convert it: `iconv -f utf-16 -t utf-8`"),
    (b"\xfe\xff", "is UTF-16 text", "convert it: `iconv -f utf-16 -t utf-8`"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file it stands for", "git lfs pull"),
)  # fmt: skip
_MAY_BE_TRACE = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]")  # JSON, whatever the file is called
_TAR = (257, b"ustar")
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_MEMORY_PAGE = b"Memory Timeline"
_BEGINNING = 1 << 16  # bytes of text in which a tool's own words are looked for

# torch/profiler/_memory_profiler.py writes [[time, action, bytes, category], ...] or [times, sizes].
_NUMBERS = re.compile(rb"\[\s*\[\s*-?\d+\s*[,\]]")
# Words that no PyTorch trace has -> whose they are.
_TOOLS = (
    (re.compile(rb'"Ascend Hardware"|"CANN"'), "of Ascend's profiler (trace_view.json)"),
    (re.compile(rb'"BeginNs"\s*:'), "of rocprof"),
    (re.compile(rb'"/(?:host|device):[A-Z]+(?::[^"]*)?"|"highres-ticks"'),
     "of TensorFlow's or JAX's profiler"),
)  # fmt: skip


def refuse_foreign(head: bytes, path: str) -> None:
    """Raise TraceFormatError where the first bytes are those of something else."""
    for magic, what, fix in _MAGICS:
        if head.startswith(magic):
            raise TraceFormatError(f"{path}: {what} (byte 0)", fix=fix)
    if path.lower().endswith(".py") and not _MAY_BE_TRACE.match(head):
        raise TraceFormatError(f"{path}: is a Python script, not a trace (byte 0)",
                               fix=f"record one: `traceanalyze profile {path}`")  # fmt: skip
    offset, magic = _TAR
    if head[offset:].startswith(magic):
        raise TraceFormatError(
            f"{path}: is a tar archive (byte {offset})",
            fix="let its name end in .tar, or give the trace inside",
        )
    if not _PAGE.match(head):
        return
    if _MEMORY_PAGE in head[:_BEGINNING]:
        raise TraceFormatError(
            f"{path}: is the page that export_memory_timeline writes, not a trace (byte 0)", fix=GIVE
        )
    raise TraceFormatError(
        f"{path}: is a web page, perhaps one to log in, not JSON (byte 0)",
        fix="give the URL of the file itself, with what opens it, or download it in a browser",
    )


def refuse_other_list(text: bytes, path: str) -> None:
    """Raise TraceFormatError where a list begins as one that holds no events."""
    if b"{" in text[:_BEGINNING] or text[1:].strip() in (b"", b"]"):
        return
    if _NUMBERS.match(text):
        what = (
            "is a list of lists of numbers, as export_memory_timeline writes: memory over time, not a trace"
        )
        raise TraceFormatError(f"{path}: {what} (at its beginning)", fix=GIVE)
    raise TraceFormatError(
        f"{path}: is a JSON list without trace events (its first items are no objects)", fix=GIVE
    )


def writer(text: bytes) -> str | None:
    """Whose trace it is, where that is known and is not PyTorch's profiler's."""
    return next((tool for words, tool in _TOOLS if words.search(text)), None)
