"""Stands in for GitHub's ``gh`` in a step of a job: comments, and runs that wait for an approval.

Understands the filters that the examples use, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

_FILTER = re.compile(
    r'\.\[\] \| select\(\.user\.login == "([^"]*)" and \(\.body \| startswith\("([^"]*)"\)\)\)'
    r" \| \.id"
)
_LIST = re.compile(r"repos/team/voices/issues/(\d+)/comments")
_ONE = re.compile(r"repos/team/voices/issues/comments/(\d+)")


def main() -> None:
    if sys.argv[1] == "run":
        _runs(sys.argv[2], sys.argv[3:])
    else:
        _comments()


def _runs(verb: str, given: list[str]) -> None:
    assert json.loads(os.environ["GH_TOKEN"]) == {"actions": "write"}
    assert os.environ["GH_REPO"] == "team/voices"
    file = Path(os.environ["HOSTING"], "waiting.json")
    waiting: list[int] = json.loads(file.read_text("utf-8")) if file.exists() else []
    if verb == "list":
        wanted = "--workflow, personas apply, --status, waiting, --json, databaseId, --jq, "
        assert ", ".join(given) == f"{wanted}.[].databaseId", given
        sys.stdout.writelines(f"{number}\n" for number in waiting)
    else:
        assert verb == "cancel"
        waiting.remove(int(given[0]))
        file.write_text(json.dumps(waiting), encoding="utf-8")


def _comments() -> None:
    parser = ArgumentParser()
    parser.add_argument("api", choices=["api"])
    parser.add_argument("path")
    parser.add_argument("--paginate", action="store_true")
    parser.add_argument("--silent", action="store_true")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--jq")
    parser.add_argument("--field", default="")
    given = parser.parse_args()
    token = json.loads(os.environ["GH_TOKEN"])
    file = Path(os.environ["HOSTING"], "comments.json")
    comments: list[dict[str, Any]] = json.loads(file.read_text("utf-8")) if file.exists() else []
    if given.method == "GET":
        issue = _match(_LIST, given.path)
        user, start = _match_all(_FILTER, given.jq)
        for comment in comments:
            mine = comment["user"]["login"] == user and comment["body"].startswith(start)
            if comment["issue"] == int(issue) and mine:
                sys.stdout.write(f"{comment['id']}\n")
        return
    if token.get("pull-requests") != "write":
        _fail("HTTP 403: Resource not accessible by integration")
    body = Path(given.field.removeprefix("body=@")).read_text(encoding="utf-8")
    if len(body) > 65_536:
        _fail("HTTP 422: Body is too long (maximum is 65536 characters)")
    if given.method == "POST":
        issue = _match(_LIST, given.path)
        who = {"login": "github-actions[bot]"}
        comments.append({"id": len(comments) + 1, "issue": int(issue), "user": who, "body": body})
    elif given.method == "PATCH":
        number = int(_match(_ONE, given.path))
        [comment] = [each for each in comments if each["id"] == number]
        comment["body"] = body
    else:
        _fail(f"no such method: {given.method}")
    file.write_text(json.dumps(comments), encoding="utf-8")


def _match(pattern: re.Pattern[str], text: str) -> str:
    return _match_all(pattern, text)[0]


def _match_all(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    found = pattern.fullmatch(text)
    if found is None:
        _fail(f"not understood: {text}")
    return found.groups()


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"gh: {message}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
