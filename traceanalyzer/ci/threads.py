"""Where comments of a pull request (GitHub) or merge request (GitLab) are read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from traceanalyzer.ci.api import Api, Refusal
from traceanalyzer.records.errors import UsageError

Environment = Mapping[str, str]


class Thread(msgspec.Struct, frozen=True):
    """The comments of one request: where they are listed and written, and where one is changed."""

    api: Api
    comments: str
    one_comment: str  # with {id}
    change: str  # the method
    author: str  # the field of a comment that says who wrote it
    name: str  # its login there


class NoThread(msgspec.Struct, frozen=True):
    """Why there is nothing to comment on."""

    why: str
    is_fork: bool = False


def thread_of(environment: Environment, number: str | None = None) -> Thread | NoThread:
    """Of the job that runs in `environment`; `number`: of the request, where the job does not say.

    UsageError where the environment is no such job's. Refusal where the platform has to be asked and refuses.
    """
    if environment.get("GITLAB_CI") or environment.get("CI_API_V4_URL"):
        return _gitlab(environment, number)
    if environment.get("GITHUB_REPOSITORY"):
        return _github(environment, number)
    fix = "set GITHUB_REPOSITORY and GITHUB_TOKEN (GitHub), or GITLAB_TOKEN in a job of GitLab"
    raise UsageError("no platform to comment on", fix=fix)


def event_of(environment: Environment) -> dict[str, Any]:
    """What started a GitHub job; nothing where there is no such file."""
    path = environment.get("GITHUB_EVENT_PATH", "")
    try:
        content = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _github(environment: Environment, number: str | None) -> Thread | NoThread:
    token = environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN")
    if not token:
        raise UsageError("GITHUB_TOKEN is not set", fix="give the step `env: GITHUB_TOKEN`")
    headers = {
        "Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }  # fmt: skip
    api = Api(environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/"), headers)
    repository = f"{api.root}/repos/{quote(environment['GITHUB_REPOSITORY'])}"
    event = event_of(environment)
    if number is None and "workflow_run" in event:
        number = _number_of_run(api, repository, event["workflow_run"])
    elif number is None:
        number = _text(event, "pull_request", "number")
    if not number or not number.isdigit():
        return NoThread("this run is of no open pull request")
    if _from_fork(event):
        return NoThread("this pull request is a fork's, whose runs may not comment", is_fork=True)
    return Thread(
        api, f"{repository}/issues/{number}/comments", f"{repository}/issues/comments/{{id}}", "PATCH",
        "user", "login",
    )  # fmt: skip


def _number_of_run(api: Api, repository: str, run: Any) -> str | None:
    """The open pull request whose head the finished run was of, as the platform knows it.

    What the run itself wrote down is not asked: a fork's could name any pull request.
    """
    sha, branch = _text(run, "head_sha"), _text(run, "head_branch")
    owner = _text(run, "head_repository", "owner", "login")
    if not sha or not branch or not owner:
        return None
    head = quote(f"{owner}:{branch}", safe="")
    for each in api.pages(f"{repository}/pulls?state=open&head={head}&per_page=100"):
        if _text(each, "head", "sha") == sha:
            return _text(each, "number")
    return None


def _from_fork(event: Any) -> bool:
    pull = event.get("pull_request")
    return pull is not None and _text(pull, "head", "repo", "id") != _text(pull, "base", "repo", "id")


def _gitlab(environment: Environment, number: str | None) -> Thread | NoThread:
    number = number or environment.get("CI_MERGE_REQUEST_IID")
    if not number or not number.isdigit():
        return NoThread("this job is of no merge request")
    token = environment.get("GITLAB_TOKEN")
    if not token:
        fix = "make a project access token with the scope api and give it as a masked variable"
        raise UsageError("GITLAB_TOKEN is not set", fix=fix)
    for name in ("CI_API_V4_URL", "CI_PROJECT_ID"):
        if not environment.get(name):
            raise UsageError(
                f"{name} is not set", fix=f"run this in a job of GitLab, which sets it, or set {name}"
            )
    api = Api(environment["CI_API_V4_URL"].rstrip("/"), {"PRIVATE-TOKEN": token})
    project = quote(environment["CI_PROJECT_ID"], safe="")
    notes = f"{api.root}/projects/{project}/merge_requests/{number}/notes"
    return Thread(api, notes, f"{notes}/{{id}}", "PUT", "author", "username")


def own_name(thread: Thread) -> str | None:
    """The login of the token's owner; None for a token of a GitHub app, which may not ask."""
    try:
        return _text(thread.api.request("GET", f"{thread.api.root}/user").content, thread.name)
    except Refusal as refusal:
        if refusal.wait_s is not None:
            raise
        return None


def is_by(comment: Any, thread: Thread, name: str | None) -> bool:
    """Whether `name` wrote it; an app's token writes as a bot, which nobody who comments can be."""
    if name is None:
        return _text(comment, thread.author, "type") == "Bot"
    return _text(comment, thread.author, thread.name) == name


def _text(value: Any, *path: str) -> str | None:
    """What stands at a path of decoded JSON; None where there is nothing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int) else None
