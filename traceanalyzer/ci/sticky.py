"""One comment of ours a key: written the first time, replaced after that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from traceanalyzer.ci.api import Refusal
from traceanalyzer.ci.threads import Thread, is_by, own_name
from traceanalyzer.report.comment_marker import is_marked

_TRIES = 3
_LONGEST_WAIT_S = 60.0

Outcome = Literal["created", "updated", "unchanged"]


def put(thread: Thread, text: str, key: str, sleep: Callable[[float], None] | None = None) -> Outcome:
    """`text`, which is marked with `key`, as the comment of that key. Refusal after three tries.

    Each try looks for the comment anew, so that one that was written without an answer is not doubled.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return _put(thread, text, key)
        except Refusal as refusal:
            wait_s = refusal.wait_s
            if wait_s is None or wait_s > _LONGEST_WAIT_S or attempt == _TRIES:
                raise
        (sleep or time.sleep)(wait_s * attempt)
    raise AssertionError("the last try returns or raises")


def _put(thread: Thread, text: str, key: str) -> Outcome:
    name = own_name(thread)
    for comment in thread.api.pages(f"{thread.comments}?per_page=100"):
        body = comment.get("body") if isinstance(comment, dict) else None
        if not isinstance(body, str) or not is_marked(body, key) or not is_by(comment, thread, name):
            continue
        if body.strip() == text.strip():
            return "unchanged"
        thread.api.request(thread.change, thread.one_comment.format(id=comment["id"]), {"body": text})
        return "updated"
    thread.api.request("POST", thread.comments, {"body": text})
    return "created"
