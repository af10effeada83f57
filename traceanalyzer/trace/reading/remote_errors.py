"""What the client of a store raises, as one line that says what to do.

A client's own message may hold the URL with its signature: nothing of it is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from traceanalyzer.records.errors import TraceAnalyzerError, TraceFormatError, UsageError
from traceanalyzer.trace.reading.names import scheme, shown_name

_BUSY = (408, 425, 429, 500, 502, 503, 504)  # what may pass
_DENIED = (401, 403, 407)
_LONGEST_WAIT_S = 30.0
_S3 = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (else ~/.aws/credentials is read), "
    "of a user who may read it"
)
_GS = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"
_ACCESS = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GS,
    "gcs": _GS,
    "hf": "set HF_TOKEN or run `hf auth login`, as a user who may read it",
}
_WEB_ACCESS = "sign the URL again if it has expired, or download the file and give its path"


class LostPlace(Exception):
    """A connection broke off and reading cannot go on where it was; `why` says so."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.why, self.fix = why, fix


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def status(error: BaseException) -> int | None:
    """The HTTP status behind an error, as aiohttp, httpx, botocore and gcsfs keep it."""
    for each in chain(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        values = [getattr(each, "status", None), getattr(response, "status_code", response)]
        if type(each).__module__.startswith("gcsfs"):  # others call other numbers so
            values.append(getattr(each, "code", None))
        for value in values:
            if isinstance(value, int) and 400 <= value < 600:
                return value
    return None


def may_pass(error: BaseException) -> bool:
    """Whether a second try may do better."""
    answered = status(error)
    if answered is not None:
        return answered in _BUSY
    if _has_name(error, "EndpointConnection"):  # nobody answers, and botocore has asked for most of a minute
        return False
    return _is_of_connection(error)


def _is_of_connection(error: BaseException) -> bool:
    if isinstance(error, LostPlace | FileNotFoundError | PermissionError | IsADirectoryError):
        return False
    return isinstance(error, OSError | TimeoutError) or _has_name(error, "Connect", "Timeout", "Payload",
                                                                  "Disconnected", "Protocol")  # fmt: skip


def wait_s(error: BaseException) -> float:
    """How long the server asks to wait; 0 where it does not."""
    for each in chain(error):
        headers: Any = getattr(each, "headers", None) or {}
        asked = headers.get("Retry-After") if hasattr(headers, "get") else None
        if asked is not None and str(asked).isdecimal():
            return min(float(asked), _LONGEST_WAIT_S)
    return 0.0


def as_ours(error: Exception, url: str, at: int = 0) -> TraceAnalyzerError:
    """The line for a user; `at` bytes had been read."""
    if isinstance(error, TraceAnalyzerError):
        return error
    name = shown_name(url)
    if isinstance(error, ImportError):
        return UsageError(
            f"{name}: reading it needs a package that is not installed ({error.name or scheme(url)})",
            fix="pip install 'torch-traceanalyzer[remote]'",
        )
    what, fix = _said(error, url)
    where = f"after {at:,} bytes" if at else "nothing read"
    return TraceFormatError(f"{name}: {what} ({where})", fix=fix)


def _said(error: Exception, url: str) -> tuple[str, str]:
    """What happened, and the fix."""
    answered, access = status(error), _ACCESS.get(scheme(url) or "", _WEB_ACCESS)
    if isinstance(error, LostPlace):
        return error.why, error.fix
    if answered in _DENIED or isinstance(error, PermissionError):
        return f"access is denied{f' (HTTP {answered})' if answered else ''}", access
    if _has_name(error, "Credential", "Refresh", "TokenRetrieval"):
        return "there are no credentials for it", access
    if answered in (404, 410) or isinstance(error, FileNotFoundError):
        return "no such file, or no such bucket", "check the URL"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not a trace", "name one trace in it"
    if answered in _BUSY:
        return f"the server is busy or broken (HTTP {answered})", "try again later"
    if answered is not None:
        return f"the server refuses (HTTP {answered})", "check the URL"
    if isinstance(error, TimeoutError) or _has_name(error, "Timeout"):
        return "the server does not answer", "try again, or download the file and give its path"
    if isinstance(error, ValueError) and not _has_name(error, "Connect"):
        return f"cannot be opened by this URL ({type(error).__name__})", (
            "give a path, or a URL with https://, s3://, gs:// or hf://"
        )
    what = "the connection failed" if _is_of_connection(error) else "cannot be read"
    return f"{what} ({type(error).__name__})", "check the URL and the network, then try again"


def _has_name(error: BaseException, *parts: str) -> bool:
    """By the name of its class: the packages that define it need not be there."""
    return any(part in type(each).__name__ for each in chain(error) for part in parts)
