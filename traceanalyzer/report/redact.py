"""An Analysis without absolute paths, host and user names, to be shown to others."""

from __future__ import annotations

import re

import msgspec

from traceanalyzer.records import Job, KernelTime, OpRow, Recording, Source

# `/home/alice/runs/x.py` -> `x.py`; not `aten/src/x`, not `a / b`, not `http://`.
_FOLDERS = re.compile(r"(?<![\w./:\\-])(?:~/|/|[A-Za-z]:[\\/]|\\\\)(?:[^\s/\\:*?\"'<>|()\[\],;]+[\\/])+")
_HOME = re.compile(r"(?:/home/|[\\/]Users[\\/])([^\s/\\:\"'<>|]+)")
# torch.profiler's handler for TensorBoard names files HOST_PID.TIME.pt.trace.json
_HOST = re.compile(r"(?<![\w.-])[\w.-]+?_(\d+\.\d+\.pt\.trace\.json)")
_AT = re.compile(r"\b[\w.-]+@[\w.-]+\b")


def redacted(analysis: Job) -> Job:
    """The same figures; no text shows folders, `user@host`, or a user or host name found in a path.

    `kernels` is left behind: its names are those of the trace.
    """
    source = analysis.source
    free = [f.path for f in source.files] + [w.message for w in source.warnings]
    free += [r.file for r in analysis.ranks or ()]
    if analysis.recording is not None:
        free += [analysis.recording.command or "", analysis.recording.script or ""]
    users = sorted({name for text in free for name in _HOME.findall(text)}, key=lambda n: (-len(n), n))
    return msgspec.structs.replace(
        analysis,
        source=_source(source, users),
        recording=_recording(analysis.recording, users),
        device=msgspec.structs.replace(analysis.device, provenance=_text(analysis.device.provenance, users)),
        op_rows=tuple(map(_row, analysis.op_rows)),
        coverage=msgspec.structs.replace(analysis.coverage, reasons=tuple(
            msgspec.structs.replace(r, example=_name(r.example)) for r in analysis.coverage.reasons
        )),
        suggestions=None if analysis.suggestions is None else tuple(
            msgspec.structs.replace(
                s, title=_name(s.title), action=_name(s.action), where=_name(s.where),
                evidence=_name(s.evidence),
            )
            for s in analysis.suggestions
        ),
        ranks=None if analysis.ranks is None else tuple(
            msgspec.structs.replace(r, file=_base(r.file)) for r in analysis.ranks
        ),
    )  # fmt: skip


def _base(path: str) -> str:
    """The file's own name, without the host that wrote it."""
    return _HOST.sub(r"host_\1", path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])


def _name(text: str) -> str:
    """A name out of the trace: source files keep their own name only."""
    if "/" not in text and "\\" not in text:
        return text
    return _HOST.sub(r"host_\1", _FOLDERS.sub("", _HOME.sub("/home/user", text)))


def _names(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if texts is None else tuple(map(_name, texts))


def _text(text: str, users: list[str]) -> str:
    """Free text; also the users known from paths, wherever they stand."""
    shown = _AT.sub("user@host", _name(text))
    for user in users:
        shown = re.sub(rf"(?<!\w){re.escape(user)}(?!\w)", "user", shown)
    return shown


def _source(source: Source, users: list[str]) -> Source:
    return msgspec.structs.replace(
        source,
        files=tuple(msgspec.structs.replace(f, path=_base(f.path)) for f in source.files),
        warnings=tuple(msgspec.structs.replace(w, message=_text(w.message, users)) for w in source.warnings),
    )


def _recording(recording: Recording | None, users: list[str]) -> Recording | None:
    if recording is None:
        return None
    return msgspec.structs.replace(
        recording,
        command=_text(recording.command, users) if recording.command else recording.command,
        script=_base(recording.script) if recording.script else recording.script,
    )


def _row(row: OpRow) -> OpRow:
    return msgspec.structs.replace(
        row, name=_name(row.name), module=_name(row.module) if row.module else row.module,
        note=_name(row.note), input_types=_names(row.input_types),
        concrete_inputs=_names(row.concrete_inputs),
        kernel_names=tuple(KernelTime(_name(k.name), k.time_ns) for k in row.kernel_names),
    )  # fmt: skip
