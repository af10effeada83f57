"""A stand-in for the HTTP API of GitHub and GitLab on loopback: comments in pages, and refusals on demand."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "the-token"
PAGE = 100


@dataclass
class Answer:
    """What the next matching request is answered with instead."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "Refused"
    after_s: float = 0.0
    does_it: bool = False  # although it says that it failed
    path: str = ""  # of requests that begin so
    method: str = ""


@dataclass
class Platform:
    """Comments of one pull request, by whom, and every request that was made."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    login: str | None = None  # of the token's owner; None: a token of the runner's, which may not ask
    address: str = ""

    def add(self, body: str, login: str = "github-actions[bot]", type: str = "Bot") -> dict[str, Any]:
        user = {"login": login, "username": login, "type": type}
        comment = {"id": 1000 + len(self.comments), "body": body, "user": user, "author": user}
        self.comments.append(comment)
        return comment

    @property
    def bodies(self) -> list[str]:
        return [comment["body"] for comment in self.comments]

    def github(self, event: str = "", **more: str) -> dict[str, str]:
        """The environment of a job."""
        return {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "someone/model", "GITHUB_TOKEN": TOKEN,
                "GITHUB_API_URL": self.address, "GITHUB_EVENT_PATH": event, **more}  # fmt: skip

    def gitlab(self, **more: str) -> dict[str, str]:
        return {"GITLAB_CI": "true", "CI_API_V4_URL": f"{self.address}/api/v4", "CI_PROJECT_ID": "17",
                "CI_MERGE_REQUEST_IID": "7", "GITLAB_TOKEN": TOKEN, **more}  # fmt: skip


@contextmanager
def running() -> Iterator[Platform]:
    """The platform, for as long as it is needed."""
    platform = Platform()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"platform": platform}))
    platform.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    platform: Platform

    def handle_one(self) -> None:
        """Every method."""
        url = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        self.platform.asked.append((self.command, url.path))
        for answer in self.platform.answers:
            if url.path.startswith(answer.path) and self.command.startswith(answer.method):
                self.platform.answers.remove(answer)
                time.sleep(answer.after_s)
                if answer.does_it:
                    self._result(url.path, {}, body)
                return self._send(answer.status, {"message": answer.message}, answer.headers)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if TOKEN not in (token, self.headers.get("PRIVATE-TOKEN")):
            return self._send(401, {"message": "Bad credentials"})
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        return self._send(*self._result(url.path, query, body))

    do_GET = do_POST = do_PATCH = do_PUT = handle_one  # noqa: N815

    def _result(self, path: str, query: dict[str, str], body: dict[str, str]) -> tuple[Any, ...]:
        platform = self.platform
        if path.endswith("/user"):
            if platform.login is None:
                return 403, {"message": "Resource not accessible by integration"}
            return 200, {"login": platform.login, "username": platform.login}
        if path.endswith("/pulls"):
            return 200, [pull for pull in platform.pulls if pull["head"]["label"] == query["head"]]
        if len(body.get("body", "")) > 65_536:
            return 422, {"message": "Validation Failed: body is too long (maximum is 65536 characters)"}
        match = re.search(r"/(?:comments|notes)/(\d+)$", path)
        if match:
            comment = next(each for each in platform.comments if each["id"] == int(match[1]))
            comment["body"] = body["body"]
            return 200, comment
        if self.command == "POST":
            return 201, platform.add(body["body"], platform.login or "github-actions[bot]",
                                     "User" if platform.login else "Bot")  # fmt: skip
        number = int(query.get("page", 1))
        page = platform.comments[(number - 1) * PAGE : number * PAGE]
        if number * PAGE >= len(platform.comments):
            return 200, page
        following = f"{platform.address}{path}?per_page={PAGE}&page={number + 1}"
        return 200, page, {"Link": f'<{following}>; rel="next", <{following}>; rel="last"'}

    def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(content).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)
        except ConnectionError:
            pass  # a client that did not wait

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""
