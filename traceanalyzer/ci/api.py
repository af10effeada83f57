"""Requests to the HTTP API of GitHub or GitLab: one Reply, or one Refusal that says why in a line."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from traceanalyzer.report.sanitize import cut, visible

_TIMEOUT_S = 30.0
_LARGEST = 20_000_000  # bytes of an answer
_MOST_PAGES = 100
_NEXT = re.compile(r'<([^<>]+)>\s*;[^,]*\brel="?next\b')


class Refusal(Exception):
    """Why nothing came of a request. `wait_s`: after how long it may do; None: never."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Reply:
    """What the platform answered; `content` is decoded JSON."""

    content: Any
    headers: Mapping[str, str]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Api:
    """An API by its address, and the headers that say who asks."""

    root: str  # without a slash at its end
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float = _TIMEOUT_S

    def request(self, method: str, url: str, body: Mapping[str, str] | None = None) -> Reply:
        """The answer to one request below `root`. Refusal where it is none."""
        if not url.startswith(f"{self.root}/"):  # the token is for no other host
            raise Refusal(f"{visible(url)}: is not below {self.root}")
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json", "User-Agent": "traceanalyze", **self.headers}
        asked = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.build_opener(_NoRedirect).open(asked, timeout=self.timeout_s) as answer:
                return Reply(_decoded(answer), {k.lower(): v for k, v in answer.headers.items()})
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error, f"{method} {url}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = visible(str(getattr(error, "reason", error)) or type(error).__name__)
            raise Refusal(f"{method} {url}: no answer ({reason})", wait_s=2.0) from None

    def pages(self, url: str) -> Iterator[Any]:
        """Each entry of a list that the platform answers in pages. Refusal as of `request`."""
        following: str | None = url
        for _ in range(_MOST_PAGES):
            if following is None:
                return
            reply = self.request("GET", following)
            yield from reply.content if isinstance(reply.content, list) else ()
            match = _NEXT.search(reply.headers.get("link", ""))
            following = match.group(1) if match else None


def _decoded(answer: IO[bytes]) -> Any:
    text = answer.read(_LARGEST)
    return json.loads(text) if text.strip() else None


def _refused(error: urllib.error.HTTPError, what: str) -> Refusal:
    """What the platform says of it, and whether it is worth another try."""
    message = _message(error)
    said = f"{what}: {error.code} {message}".rstrip()
    headers = {name.lower(): value for name, value in error.headers.items()}
    is_limit = headers.get("retry-after") is not None or "0" in (
        headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining")
    )  # fmt: skip
    if error.code == 429 or (error.code == 403 and is_limit):
        wait_s = _wait_s(headers)
        return Refusal(f"{said} (rate limit, for {wait_s:.0f} s)", wait_s=wait_s)
    return Refusal(said, wait_s=2.0 if error.code >= 500 else None)


def _message(error: urllib.error.HTTPError) -> str:
    try:
        content = _decoded(error)
    except (OSError, ValueError, http.client.HTTPException):
        return visible(str(error.reason))
    text = content.get("message") if isinstance(content, dict) else None
    return cut(visible(" ".join(str(text or error.reason).split())), 200)


def _wait_s(headers: Mapping[str, str]) -> float:
    """Of the headers of a rate limit: seconds, or the time at which it ends."""
    after = headers.get("retry-after") or ""
    if after.isdigit():
        return float(after)
    reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
    return max(float(reset) - time.time(), 1.0) if reset.isdigit() else 60.0
