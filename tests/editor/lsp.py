"""A client of the Language Server Protocol over stdio: an editor without a screen."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

PATIENCE = 20.0
"""Seconds the server may take over anything it is asked."""


class ServerError(AssertionError):
    """The server refused a request, broke the protocol, or is gone."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """One squiggle: the line it begins on, counted from 1, and what it says."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One offer of completion: what the list shows, what it inserts, and what explains it."""

    label: str
    inserts: str
    documentation: str


class LanguageServer:
    """A language server in a process of its own, which ends with the ``with`` block.

    ``settings`` are those of the editor's user, by section. Documents are
    opened from memory; positions count from 0, as the protocol does.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        settings: Mapping[str, Any],
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._ids = count(1)
        self._answers: dict[int, Future[Any]] = {}
        self._marks: dict[str, tuple[Mark, ...]] = {}
        self._news = threading.Condition()
        self._ended = False
        self._configured = False
        self._sending = threading.Lock()
        self._said = bytearray()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._noter = threading.Thread(target=self._note, daemon=True)
        self._listener.start()
        self._noter.start()
        try:
            self.name = self._initialize(folder)
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._ended:
                self._request("shutdown", None)
                self._notify("exit", None)
                self._process.wait(PATIENCE)
        finally:
            self._stop()

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join(PATIENCE)
        self._noter.join(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError):  # what was not sent any more
                stream.close()

    def open(self, path: Path, text: str) -> str:
        """Show a document to the server, and return the URI that names it from now on."""
        uri = path.as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._notify("textDocument/didOpen", {"textDocument": document})
        return uri

    def marks(self, uri: str) -> tuple[Mark, ...]:
        """Return what the server has against an open document, sorted by place."""
        with self._news:
            self._wait(lambda: uri in self._marks, f"a word about {uri}")
            return self._marks[uri]

    def complete(self, uri: str, line: int, column: int) -> list[Suggestion]:
        """Return what the server offers at a place of an open document."""
        answer = self._request("textDocument/completion", _at(uri, line, column))
        items = answer["items"] if isinstance(answer, dict) else answer or []
        return [_suggestion(item) for item in items]

    def hover(self, uri: str, line: int, column: int) -> str:
        """Return what the server shows for a place of an open document; empty for nothing."""
        answer = self._request("textDocument/hover", _at(uri, line, column))
        return "" if answer is None else _text(answer["contents"])

    # The protocol

    def _initialize(self, folder: Path) -> str:
        parameters = {
            "processId": None,
            "rootUri": folder.as_uri(),
            "workspaceFolders": [{"uri": folder.as_uri(), "name": folder.name}],
            "capabilities": {
                "workspace": {"configuration": True, "workspaceFolders": True},
                "textDocument": {
                    "completion": {
                        "completionItem": {
                            "documentationFormat": ["markdown"],
                            "snippetSupport": True,
                        }
                    },
                    "hover": {"contentFormat": ["markdown"]},
                    "publishDiagnostics": {},
                },
            },
        }
        answer = self._request("initialize", parameters)
        self._notify("initialized", {})
        with self._news:
            self._wait(lambda: self._configured, "a question for the settings")
        return f"{answer['serverInfo']['name']} {answer['serverInfo']['version']}"

    def _request(self, method: str, parameters: Any) -> Any:
        number = next(self._ids)
        answer: Future[Any] = Future()
        self._answers[number] = answer
        self._send({"id": number, "method": method, "params": parameters})
        try:
            return answer.result(PATIENCE)
        except TimeoutError:
            raise self._failure(f"no answer to {method}") from None

    def _notify(self, method: str, parameters: Any) -> None:
        self._send({"method": method, "params": parameters})

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        try:
            with self._sending:
                self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                self._process.stdin.flush()
        except OSError as error:
            raise self._failure(f"it does not listen: {error}") from None

    def _listen(self) -> None:
        with contextlib.suppress(ServerError):  # it ended while it was being answered
            while (message := self._receive()) is not None:
                self._take(message)
        with self._news:
            self._ended = True
            self._news.notify_all()
        for answer in list(self._answers.values()):
            if not answer.done():
                answer.set_exception(self._failure("it ended before it answered"))

    def _receive(self) -> dict[str, Any] | None:
        stream = self._process.stdout
        assert stream is not None
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = stream.read(length)
        return json.loads(body) if length and len(body) == length else None

    def _take(self, message: Mapping[str, Any]) -> None:
        method = message.get("method")
        if method is None:
            self._answer_arrived(message)
        elif "id" in message:
            result = None
            if method == "workspace/configuration":
                result = [self._setting(item) for item in message["params"]["items"]]
            self._send({"id": message["id"], "result": result})
            if method == "workspace/configuration":
                with self._news:
                    self._configured = True
                    self._news.notify_all()
        elif method == "textDocument/publishDiagnostics":
            marks = sorted(
                Mark(found["range"]["start"]["line"] + 1, found["message"])
                for found in message["params"]["diagnostics"]
            )
            with self._news:
                self._marks[message["params"]["uri"]] = tuple(marks)
                self._news.notify_all()

    def _answer_arrived(self, message: Mapping[str, Any]) -> None:
        answer = self._answers.pop(message["id"])
        if "error" in message:
            answer.set_exception(self._failure(f"it refused: {message['error']['message']}"))
        else:
            answer.set_result(message["result"])

    def _setting(self, item: Mapping[str, Any]) -> Any:
        return self._settings.get(item.get("section", ""))

    # What goes wrong

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait, holding the lock, for ``condition`` or the end of the server."""
        arrived = self._news.wait_for(lambda: condition() or self._ended, PATIENCE)
        if not (arrived and condition()):
            raise self._failure(f"{what} never came")

    def _note(self) -> None:
        """Keep what the server says on its standard error, for a failure's words."""
        stream = self._process.stderr
        assert stream is not None
        for line in stream:
            self._said += line

    def _failure(self, what: str) -> ServerError:
        if self._ended:
            self._noter.join(PATIENCE)
        said = self._said.decode(errors="replace").strip()
        return ServerError(f"the language server: {what}" + (f"\n{said}" if said else ""))


def _at(uri: str, line: int, column: int) -> dict[str, Any]:
    return {"textDocument": {"uri": uri}, "position": {"line": line, "character": column}}


def _suggestion(item: Mapping[str, Any]) -> Suggestion:
    inserts = item.get("textEdit", {}).get("newText") or item.get("insertText") or item["label"]
    return Suggestion(item["label"], inserts, _text(item.get("documentation") or ""))


def _text(contents: Any) -> str:
    """Return the text of any of the forms in which the protocol lets a server explain."""
    if isinstance(contents, list):
        return "\n".join(_text(part) for part in contents)
    return contents["value"] if isinstance(contents, dict) else str(contents)
