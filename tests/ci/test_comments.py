"""One comment of a key on a pull request: created, replaced, refused; and never somebody else's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.ci.conftest import event_file
from tests.ci.platform import TOKEN, Answer, Platform
from traceanalyzer.ci import sticky, threads
from traceanalyzer.ci.api import Api, Refusal
from traceanalyzer.ci.comment import finished
from traceanalyzer.ci.job import comment
from traceanalyzer.ci.threads import NoThread, Thread, thread_of
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report.comment_marker import comment_marker, is_marked
from traceanalyzer.report.markdown import LIMIT

TEXT = finished("### The step is slower.\n\nMore.", "gpt")


def thread(environment: dict[str, str]) -> Thread:
    made = thread_of(environment)
    assert isinstance(made, Thread)
    return made


def put(platform: Platform, event: str, text: str = TEXT, key: str = "gpt") -> tuple[str, list[float]]:
    waits: list[float] = []
    return sticky.put(thread(platform.github(event)), text, key, waits.append), waits


def test_the_first_comment_is_created_and_the_next_takes_its_place(
    platform: Platform, pull_request: str
) -> None:
    platform.add("LGTM", "reviewer", "User")
    assert put(platform, pull_request) == ("created", [])
    assert put(platform, pull_request) == ("unchanged", [])
    changed = finished("### The step is faster.", "gpt")
    assert put(platform, pull_request, changed) == ("updated", [])
    assert platform.bodies == ["LGTM", changed]
    assert put(platform, pull_request, finished("Another job's", "bert"), "bert")[0] == "created"
    assert len(platform.comments) == 3
    assert ("PATCH", "/repos/someone/model/issues/comments/1001") in platform.asked


def test_the_comment_is_found_on_a_later_page(platform: Platform, pull_request: str) -> None:
    for number in range(130):
        platform.add(TEXT if number == 117 else f"Talk {number}")
    changed = finished("### New", "gpt")
    assert put(platform, pull_request, changed)[0] == "updated"
    assert platform.comments[117]["body"] == changed and len(platform.comments) == 130


@pytest.mark.parametrize("login", [None, "ci-account"])
def test_somebody_else_s_comment_with_the_marker_stays(
    login: str | None, platform: Platform, pull_request: str
) -> None:
    platform.login = login
    theirs = f"{comment_marker('gpt')}\nMine!"
    platform.add(theirs, "stranger", "User")
    platform.add("> " + TEXT.replace("\n", "\n> "))  # a bot that quotes
    assert put(platform, pull_request)[0] == "created"
    assert put(platform, pull_request, finished("### New", "gpt"))[0] == "updated"
    assert platform.bodies[0] == theirs and len(platform.comments) == 3


def test_on_gitlab(platform: Platform) -> None:
    platform.login = "project_17_bot"
    for number in range(101):
        platform.add(f"Talk {number}", "someone")
    assert sticky.put(thread(platform.gitlab()), TEXT, "gpt") == "created"
    changed = finished("### New", "gpt")
    assert sticky.put(thread(platform.gitlab()), changed, "gpt") == "updated"
    assert platform.bodies[-1] == changed
    assert platform.asked[-1] == ("PUT", "/api/v4/projects/17/merge_requests/7/notes/1101")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Retry-After": "7"}, 403), ({"Retry-After": "7"}, 429),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 20)}, 403),
        ({}, 500), ({}, 502),
    ],
)  # fmt: skip
def test_what_passes_is_waited_for(
    headers: dict[str, str], status: int, platform: Platform, pull_request: str
) -> None:
    platform.answers = [Answer(status, headers, path="/repos")]
    outcome, waits = put(platform, pull_request)
    assert outcome == "created" and len(platform.comments) == 1 and len(waits) == 1
    assert waits == [7.0] if "Retry-After" in headers else 0 < waits[0] <= 20


def test_a_comment_that_was_written_without_an_answer_is_not_doubled(
    platform: Platform, pull_request: str
) -> None:
    platform.answers = [Answer(500, method="POST", does_it=True)]
    assert put(platform, pull_request)[0] == "unchanged"
    assert len(platform.comments) == 1


@pytest.mark.parametrize(
    ("answers", "said", "requests"),
    [
        ([Answer(403, message="Resource not accessible", method="POST")], "403 Resource not", 3),
        ([Answer(404, path="/repos")], "404", 2),
        ([Answer(401, path="/repos")], "401", 2),
        ([Answer(422, message="body is too long", method="POST")], "422 body is too long", 3),
        ([Answer(429, {"Retry-After": "3600"}, path="/repos")], "rate limit, for 3600 s", 2),
        ([Answer(500, path="/repos")] * 3, "500", 6),
        ([Answer(301, {"Location": "http://127.0.0.1:9/elsewhere"}, path="/repos")], "301", 2),
        ([Answer(403, message="a\n::error::b\x1b[31m", path="/repos")], "403 a ::error::b", 2),
    ],
)  # fmt: skip
def test_a_refusal_is_one_line_and_a_warning(
    answers: list[Answer], said: str, requests: int, platform: Platform, pull_request: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    platform.answers = list(answers)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    lines: list[str] = []
    assert not comment(platform.github(pull_request), TEXT, "gpt", lines.append)
    assert len(lines) == 1 and lines[0].startswith("::warning title=traceanalyze::no comment: ")
    assert said in lines[0] and "\n" not in lines[0] and TOKEN not in lines[0] and "\x1b" not in lines[0]
    assert platform.comments == [] and len(platform.asked) == requests


def test_a_platform_that_does_not_answer(platform: Platform) -> None:
    platform.answers = [Answer(200, after_s=0.5)]
    api = Api(platform.address, {}, timeout_s=0.05)
    with pytest.raises(Refusal, match="no answer") as caught:
        api.request("GET", f"{platform.address}/user")
    assert caught.value.wait_s is not None
    with pytest.raises(Refusal, match="no answer"):
        Api("http://127.0.0.1:9", {}).request("GET", "http://127.0.0.1:9/user")


def test_the_token_goes_to_no_other_host(platform: Platform) -> None:
    api = Api("http://127.0.0.1:9", {"Authorization": f"Bearer {TOKEN}"})
    for address in (platform.address, "http://127.0.0.1:90/x", "file:///etc/hostname"):
        with pytest.raises(Refusal, match="is not below"):
            api.request("GET", address)
    assert platform.asked == [] and TOKEN not in repr(api)


def run_event(platform: Platform, folder: Path, sha: str) -> dict[str, str]:
    run = {"head_sha": sha, "head_branch": "wip/a&b", "head_repository": {"owner": {"login": "forker"}}}
    return platform.github(event_file(folder, {"workflow_run": run}))


def test_the_second_workflow_finds_the_pull_request_of_a_fork(platform: Platform, tmp_path: Path) -> None:
    platform.pulls = [
        {"number": 3, "head": {"label": "other:wip/a&b", "sha": "abc"}},
        {"number": 5, "head": {"label": "forker:wip/a&b", "sha": "old"}},
        {"number": 9, "head": {"label": "forker:wip/a&b", "sha": "abc"}},
    ]
    made = thread(run_event(platform, tmp_path, "abc"))
    assert made.comments == f"{platform.address}/repos/someone/model/issues/9/comments"
    assert isinstance(thread_of(run_event(platform, tmp_path, "newer")), NoThread)


@pytest.mark.parametrize(
    "event", [{}, {"push": {}}, {"pull_request": {"number": "7/../../x"}}, {"workflow_run": {}}, [], None]
)
def test_a_run_of_no_pull_request(event: Any, platform: Platform, tmp_path: Path) -> None:
    lines: list[str] = []
    assert comment(platform.github(event_file(tmp_path, event)), TEXT, "gpt", lines.append)
    assert lines == ["traceanalyze: no comment: this run is of no open pull request"]
    assert platform.asked == []


@pytest.mark.parametrize("head", [{"id": 2}, None])
def test_a_run_of_a_fork_does_not_try(head: Any, platform: Platform, tmp_path: Path) -> None:
    pull = {"number": 7, "head": {"repo": head}, "base": {"repo": {"id": 1}}}
    made = thread_of(platform.github(event_file(tmp_path, {"pull_request": pull})))
    assert isinstance(made, NoThread) and made.is_fork


def test_what_is_missing_is_said() -> None:
    for environment, said in (
        ({}, "no platform"), ({"GITHUB_REPOSITORY": "a/b"}, "GITHUB_TOKEN"),
        ({"GITLAB_CI": "1", "CI_MERGE_REQUEST_IID": "3"}, "GITLAB_TOKEN"),
        ({"GITLAB_CI": "1", "CI_MERGE_REQUEST_IID": "3", "GITLAB_TOKEN": "x"}, "CI_API_V4_URL"),
        ({"CI_API_V4_URL": "https://x", "CI_MERGE_REQUEST_IID": "3", "GITLAB_TOKEN": "x"}, "CI_PROJECT_ID"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            thread_of(environment)
    assert threads.event_of({"GITHUB_EVENT_PATH": "/does/not/exist"}) == {}


@pytest.mark.parametrize("key", ["", "a--b", "a b", "-a", "a>", "a\n", "ä", "a" * 81, "../x"])
def test_a_key_cannot_end_the_comment(key: str) -> None:
    with pytest.raises(UsageError, match="cannot mark"):
        comment_marker(key)


@pytest.mark.parametrize("length", [100, 59_990, 60_000, 65_000, 300_000])
@pytest.mark.parametrize("text", ["word ", "<details><summary>x</summary>\n\nrow\n\n", "a\n\n"])
def test_a_comment_is_short_and_has_its_marker_once(length: int, text: str) -> None:
    whole = (text * (length // len(text) + 1))[:length]
    twice = finished(finished(whole, "gpt", {"The report": "https://example.com/1"}), "gpt")
    assert len(twice) <= LIMIT and twice.count(comment_marker("gpt")) == 1 and is_marked(twice, "gpt")
    assert twice.splitlines()[-1] == comment_marker("gpt")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://x) [y](z", "https://x y", "", "http://"])
def test_only_addresses_are_linked(url: str) -> None:
    assert "The report" not in finished("text", "gpt", {"The report": url})
