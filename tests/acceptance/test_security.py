"""What is promised of security, point by point; each test would fail without its point."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.helpers.nasty import (
    CERTIFICATES,
    Behaviour,
    NastyServer,
    answer,
    by_audio,
    created,
    creates,
    flood,
    hang_up,
    raw,
    says,
    tunnel_to,
)
from tests.helpers.support import Ended, Tool, manifest_text

KEY = "sk-4f9a1c7e2b8d6053"
CA = str(CERTIFICATES / "ca.pem")
OK_HEAD = b"HTTP/1.1 200 OK\r\n"

HOSTILE = (
    "\n::error::pwned\r\n::add-mask::x\r\x1b[31mred\x1b]0;title\x07\u202egnp\u2066\x9b31m\x00"
    " ##[error]y ##vso[task.setvariable variable=z]w \u200b\n  ::warning::v"
)
HOSTILE_NAMES = [
    "::error::pwned",
    "::set-output name=x::y",
    "##[error]pwned",
    "##vso[task.setvariable variable=z]w",
    "a\u202eb\u2066c\u200ed\u061ce",
    "a\u00adb\u200bc\ufeffd",
    "a | b `c` <img src=x onerror=y> @everyone [d](javascript:e) \\",
]
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f]"
)
_COMMAND = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)
_OURS = re.compile(r"^::(notice|warning|error) [^\n]*title=personasync[^\n]*$", re.MULTILINE)


SERIALLY = ("--parallelism", "1", "--rate-limit", "none")


def apply(tool: Tool, url: str, *args: str, **env: str) -> Ended:
    env = {"PERSONASYNC_API_KEY": KEY, "PERSONASYNC_BASE_URL": url, **env}
    return tool("apply", "--auto-approve", "--retry-for", "0s", *args, env=env)


def files_of(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def assert_harmless(ended: Ended, *, commands: bool = False) -> None:
    """Nothing in the output steers a terminal or a CI log; ``commands`` of our own may stand."""
    for text in (ended.stdout, ended.stderr):
        assert not _UNSAFE.search(text), ascii(text)
        rest = _OURS.sub("", text) if commands else text
        assert not _COMMAND.search(rest), ascii(text)


# The key.


ECHOES: dict[str, Behaviour] = {
    "msg": says(422, f"bad header: Bearer {KEY}"),
    "msg in escapes": answer(
        '{"code": 409, "msg": "' + "".join(f"\\u{ord(c):04x}" for c in KEY) + '"}'
    ),
    "body": answer(f"<pre>Authorization: Bearer {KEY}</pre>", 500),
    "body cut off": raw(OK_HEAD + b"Content-Length: 999\r\n\r\nBearer " + KEY[:-1].encode()),
    "persona ID": created(f"id-{KEY}"),
    "reason phrase": answer(b"", 500, reason=f"Bad key {KEY}"),
    "status line": raw(f"Bearer {KEY}\r\n".encode()),
    "header line": raw(OK_HEAD + f"Bearer {KEY}\r\nContent-Length: 0\r\n\r\n".encode()),
    "location": answer(b"", 302, headers=[("Location", f"https://elsewhere.example/?{KEY}")]),
    "bad location": answer(b"", 302, headers=[("Location", f"http://[{KEY}")]),
    "retry-after": answer(b"", 429, headers=[("Retry-After", KEY)]),
}


def one_after_another(behaviours: Iterable[Behaviour], count: int) -> Behaviour:
    """Meet each behaviour with every second persona, so that no two in a row end the run."""
    nasty = {f"audio-{2 * n + 1:03}": behaviour for n, behaviour in enumerate(behaviours)}
    assert len(nasty) <= count // 2
    return by_audio(nasty, creates())


@pytest.mark.parametrize("output", ["text", "json"])
def test_the_key_is_nowhere_even_if_the_server_echoes_it(tool: Tool, output: str) -> None:
    count = 2 * len(ECHOES)
    tool.manifest(count)
    key = {"PERSONASYNC_API_KEY": KEY}
    with NastyServer(one_after_another(ECHOES.values(), count)) as server:
        at = ("--base-url", server.url)
        runs = [
            tool("plan", *at, "-vv", "--out", "plan.json", env=key),
            apply(tool, server.url, "plan.json", *SERIALLY, "-v", "-v", "--format", output),
            tool("plan", *at, "-vv", env=key),
            tool("state", "list", "--format", "json", "-vv", env=key),
        ]
        assert len(server.requests) == count
    told = f"POST {server.url}/api/v1/generate/generate-persona (Authorization: Bearer ***)"
    assert runs[1].stderr.count(told) == count
    for ended in runs:
        assert KEY[:-1] not in ended.stdout + ended.stderr
    for path, data in files_of(tool.folder):
        assert KEY[:-1].encode() not in data, path


def test_the_key_is_nowhere_even_if_it_is_refused_by_name(tool: Tool) -> None:
    tool.manifest(2)
    with NastyServer(says(401, f"not a key: {KEY}", status=401)) as server:
        ended = apply(tool, server.url, "-vv")
    assert ended.code == 1
    assert "not a key: ***" in ended.stdout
    assert KEY not in ended.stdout + ended.stderr
    for path, data in files_of(tool.folder):
        assert KEY.encode() not in data, path


def test_the_key_is_not_in_a_rescue_file(tool: Tool) -> None:
    tool.manifest(1)
    echo = answer(json.dumps({"code": 200, "msg": KEY, "data": {"personaId": "a1b2", "x": KEY}}))
    with NastyServer(says(422, "x"), echo) as server:
        apply(tool, server.url)
        full = (tool.folder / "personas.state.jsonl").stat().st_size
        (tool.folder / "personas.state.jsonl").unlink()
        limit = full - 20  # the header and ``pending`` fit, the outcome does not

        def allow_no_more() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        process = tool.start(
            *("apply", "--auto-approve", "-vv"),
            env={"PERSONASYNC_API_KEY": KEY, "PERSONASYNC_BASE_URL": server.url},
            preexec_fn=allow_no_more,
        )
        stdout, stderr = (text.decode() for text in process.communicate(timeout=60))
    rescue = tool.folder / "personas.state.jsonl.rescue"
    assert "a1b2" in rescue.read_text(encoding="utf-8")
    assert "personasync import p-000 a1b2" in stdout + stderr
    assert KEY not in stdout + stderr
    for path, data in files_of(tool.folder):
        assert KEY.encode() not in data, path


_SABOTAGE = """
import personasync.api.client

def create(self, request):
    raise RuntimeError(f"surprise: {self._key.value} and {self._key!r} {self.__dict__}")

personasync.api.client.HttpApi.create = create
"""


@pytest.mark.parametrize(
    ("verbose", "from_file"), [((), False), (("-vv",), False), (("-v", "-v"), True)]
)
def test_the_key_is_not_in_the_traceback_of_an_unexpected_error(
    tool: Tool, verbose: tuple[str, ...], from_file: bool
) -> None:
    tool.manifest(3)
    tool.write("site/sitecustomize.py", _SABOTAGE)
    tool.write("key", KEY)
    key = {"PERSONASYNC_API_KEY_FILE": "key"} if from_file else {"PERSONASYNC_API_KEY": KEY}
    process = tool.start(
        *("apply", "--auto-approve", "--base-url", "http://127.0.0.1:9", *verbose),
        env={"PYTHONPATH": f"{tool.folder / 'site'}{os.pathsep}{os.getcwd()}", **key},  # noqa: PTH109
    )
    stdout, stderr = (text.decode() for text in process.communicate(timeout=60))
    assert process.returncode == 1
    assert "RuntimeError: surprise: *** and ApiKey(***)" in stderr
    assert ("Traceback" in stderr) == bool(verbose)
    assert KEY not in stdout + stderr


def test_the_key_of_a_pipe_is_not_in_a_traceback(tool: Tool) -> None:
    tool.manifest(1)
    tool.write("site/sitecustomize.py", _SABOTAGE)
    reading, writing = os.pipe()
    os.write(writing, KEY.encode())
    os.close(writing)
    process = tool.start(
        *("apply", "--auto-approve", "--base-url", "http://127.0.0.1:9", "-v"),
        env={
            "PYTHONPATH": f"{tool.folder / 'site'}{os.pathsep}{os.getcwd()}",  # noqa: PTH109
            "PERSONASYNC_API_KEY_FILE": f"/dev/fd/{reading}",
        },
        pass_fds=(reading,),
    )
    os.close(reading)
    stdout, stderr = (text.decode() for text in process.communicate(timeout=60))
    assert "RuntimeError: surprise: ***" in stderr
    assert KEY not in stdout + stderr


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (f"{KEY} {KEY}", "PERSONASYNC_API_KEY holds something that cannot be an API key"),
        (f"{KEY}\r\nX-Evil: 1", "PERSONASYNC_API_KEY holds something that cannot be an API key"),
        (f"{KEY}é", "PERSONASYNC_API_KEY holds something that cannot be an API key"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(tool: Tool, key: str, said: str) -> None:
    tool.manifest(1)
    with NastyServer(created("a1b2")) as server:
        ended = apply(tool, server.url, "-vv", PERSONASYNC_API_KEY=key)
    assert ended.code == 1
    assert f"Error: {said}\n" in ended.stderr
    assert KEY not in ended.stdout + ended.stderr
    assert server.connections == 0


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (None, "cannot read key, which PERSONASYNC_API_KEY_FILE names: No such file or directory"),
        ("\n", "the file that PERSONASYNC_API_KEY_FILE names is empty"),
        (f"# mine\n{KEY}\n", "the file that PERSONASYNC_API_KEY_FILE names holds something"),
    ],
)
def test_a_key_file_that_does_not_do(tool: Tool, write: str | None, said: str) -> None:
    tool.manifest(1)
    if write is not None:
        tool.write("key", write)
    with NastyServer(created("a1b2")) as server:
        ended = apply(tool, server.url, PERSONASYNC_API_KEY="", PERSONASYNC_API_KEY_FILE="key")
    assert ended.code == 1
    assert f"Error: {said}" in ended.stderr
    assert KEY not in ended.stdout + ended.stderr
    assert server.connections == 0
    assert not (tool.folder / "personas.state.jsonl").exists()


@pytest.mark.parametrize("option", ["--api-key", "--key", "--token"])
def test_no_option_takes_the_key(tool: Tool, option: str) -> None:
    tool.manifest(1)
    ended = tool("apply", option, KEY)
    assert ended.code == 64
    assert "No such option" in ended.stderr


def test_a_netrc_does_not_replace_the_key(tool: Tool) -> None:
    tool.manifest(1)
    home = tool.folder / "home"
    home.mkdir()
    (home / ".netrc").write_text("default login me password mine\n")
    (home / ".netrc").chmod(0o600)
    with NastyServer(creates()) as server:
        for number, name in enumerate(("127.0.0.1", "localhost")):
            tool.manifest(1, audioId=f"audio-{number}")
            url = f"http://{name}:{server.port}"
            state = f"{name}.state.jsonl"
            assert apply(tool, url, "--state", state, NETRC=str(home / ".netrc")).code == 0
    assert [request.headers["Authorization"] for request in server.requests] == [
        f"Bearer {KEY}"
    ] * 2


# Where requests go.


def test_a_redirect_is_not_followed(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(creates()) as elsewhere:
        place = [("Location", f"{elsewhere.url}/api/v1/generate/generate-persona")]
        with NastyServer(answer(b"", 307, headers=place)) as server:
            ended = apply(tool, server.url)
    assert ended.code == 3
    assert "the API redirected (307), which is not followed" in ended.stdout
    assert (len(server.requests), elsewhere.connections) == (1, 0)


@pytest.mark.parametrize("command", [("plan",), ("apply", "--auto-approve")])
@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1:8700", "http://api.example", "http://127.0.0.1.example", "http://[::]"],
)
def test_plain_http_to_another_machine_is_refused_before_anything(
    tool: Tool, command: tuple[str, ...], url: str
) -> None:
    tool.manifest(1)
    ended = tool(*command, "--base-url", url, env={"PERSONASYNC_API_KEY_FILE": "missing"})
    assert ended.code == 1
    assert ended.stdout == ""
    assert "Error: refusing plain http to " in ended.stderr
    assert "the API key would travel unencrypted" in ended.stderr
    assert "missing" not in ended.stderr, "the key was not even read"
    assert sorted(path.name for path in tool.folder.iterdir()) == ["personas.yaml"]


def test_plain_http_from_the_environment_is_refused_too(tool: Tool) -> None:
    tool.manifest(1)
    ended = apply(tool, "http://api.example")
    assert ended.code == 1
    assert "refusing plain http to api.example" in ended.stderr


@pytest.mark.parametrize("url", ["https://me:hunter2@api.example", "http://hunter2@127.0.0.1:8700"])
def test_credentials_in_the_base_url_are_refused_and_not_shown(tool: Tool, url: str) -> None:
    tool.manifest(1)
    for ended in (apply(tool, url, "-vv"), tool("plan", "--base-url", url)):
        assert ended.code == 1
        assert "Error: the base URL must not carry credentials\n" in ended.stderr
        assert "hunter2" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "extra",
    [
        "baseUrl: {url}\n",
        "settings:\n  baseUrl: {url}\n",
        "settings:\n  api: {url}\n",
        "defaults:\n  baseUrl: {url}\n",
    ],
)
def test_a_manifest_cannot_say_where_requests_go(tool: Tool, extra: str) -> None:
    with NastyServer(creates()) as elsewhere, NastyServer(creates()) as server:
        tool.write("personas.yaml", manifest_text(range(1)) + extra.format(url=elsewhere.url))
        ended = apply(tool, server.url)
    assert ended.code == 1
    assert (server.connections, elsewhere.connections) == (0, 0)


def test_a_saved_plan_cannot_say_where_requests_go(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(creates()) as elsewhere, NastyServer(creates()) as server:
        assert tool("plan", "--base-url", server.url, "--out", "plan.json").code == 0
        plan = tool.folder / "plan.json"
        plan.write_text(plan.read_text().replace(server.url, elsewhere.url))
        ended = apply(tool, server.url, "plan.json")
    assert ended.code in (1, 5)
    assert (server.connections, elsewhere.connections) == (0, 0)


def test_a_state_cannot_say_where_requests_go(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(creates()) as elsewhere, NastyServer(creates()) as server:
        header = {"format": "personasync.state/1", "lineage": "x", "api": elsewhere.url}
        tool.write("personas.state.jsonl", json.dumps(header) + "\n")
        ended = apply(tool, server.url)
    assert ended.code == 1
    assert (server.connections, elsewhere.connections) == (0, 0)


# TLS and proxies.


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_ca_and_a_proxy_from_the_environment(tool: Tool, variable: str) -> None:
    tool.manifest(2)
    with (
        NastyServer(creates(), certificate="server.pem") as server,
        NastyServer(tunnel_to(server.port)) as proxy,
    ):
        ended = apply(
            tool,
            f"https://localhost:{server.port}",
            "-vv",
            NO_PROXY="",
            HTTPS_PROXY=f"http://me:hunter2@127.0.0.1:{proxy.port}",
            **{variable: CA},
        )
        assert (ended.code, ended.last_line) == (
            0,
            "Apply complete: 2 created, 0 imported, 0 renamed.",
        )
        assert {request.method for request in proxy.requests} == {"CONNECT"}
        assert proxy.connections == server.connections
        assert KEY.encode() not in proxy.seen
    assert "hunter2" not in ended.stdout + ended.stderr


def test_without_the_ca_nothing_is_sent(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(creates(), certificate="server.pem") as server:
        ended = apply(tool, server.url)
    assert ended.code == 3
    assert "SSL_CERT_FILE can name the file of a private CA" in " ".join(ended.stdout.split())
    assert server.seen == b""


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_ca_that_is_not_there_is_a_clear_error(tool: Tool, variable: str) -> None:
    tool.manifest(1)
    with NastyServer(creates(), certificate="server.pem") as server:
        ended = apply(tool, server.url, **{variable: "/no/such/ca.pem"})
    assert ended.code == 1
    assert ended.stderr == (
        f"Error: cannot use /no/such/ca.pem, which {variable} names: No such file or directory\n"
        "  it must be a file of certificates in PEM form, or a folder of them\n"
    )
    assert server.connections == 0
    assert not (tool.folder / "personas.state.jsonl").exists()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_this_machine_is_not_reached_through_another(tool: Tool, variable: str) -> None:
    tool.manifest(1)
    with NastyServer(creates()) as server:
        ended = apply(
            tool,
            server.url,
            *("--connect-timeout", "1s"),
            **{"NO_PROXY": "", variable: "http://192.0.2.1:3128"},
        )
    assert ended.code == 0
    assert len(server.requests) == 1


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_the_embedded_sandbox_needs_no_proxy(tool: Tool, variable: str) -> None:
    tool.manifest(1)
    with NastyServer(hang_up) as proxy:
        env = {"NO_PROXY": "", variable: f"http://127.0.0.1:{proxy.port}"}
        ended = tool("apply", "--auto-approve", "--sandbox", env=env)
    assert ended.code == 0
    assert proxy.connections == 0


# Hostile text.


HOSTILE_ANSWERS: list[Behaviour] = [
    *(says(code, HOSTILE, headers=[("X-Evil", "\x1b[31m")]) for code in (422, 409, 451, 500, 777)),
    created(f"a{HOSTILE}"),
    answer(HOSTILE, 500),
    answer(b"", 500, reason="::error::x \x1b[31m"),
    answer(b"", 302, headers=[("Location", "::error::x\x1b[31m")]),
    raw(b"\x1b[31m::error::x\r\n"),
    raw(OK_HEAD + b"::error::no colon\x1b[31m\r\n\x1b: y\r\n\r\n"),
]


@pytest.mark.parametrize("output", ["text", "json"])
def test_what_the_api_says_cannot_steer_a_terminal_or_a_log(tool: Tool, output: str) -> None:
    count = 2 * len(HOSTILE_ANSWERS)
    tool.manifest(count)
    with NastyServer(one_after_another(HOSTILE_ANSWERS, count)) as server:
        ended = apply(tool, server.url, *SERIALLY, "-vv", "--format", output)
        assert len(server.requests) == count
        assert ended.code == 3
        assert_harmless(ended)
        at = ("--base-url", server.url)
        for command in (
            ("plan", *at),
            ("plan", *at, "--format", "json"),
            ("plan", *at, "--format", "markdown"),
            ("state", "list"),
            ("state", "list", "--format", "json"),
            *(("state", "show", f"p-{number:03}") for number in (1, 3, 9, 11)),
        ):
            assert_harmless(tool(*command))
        assert_harmless(tool("plan", *at, "--format", "github"), commands=True)


@pytest.mark.parametrize("behaviour", [says(401, HOSTILE), says(429, HOSTILE), says(402, HOSTILE)])
def test_what_the_api_says_as_it_stops_a_run_cannot_either(
    tool: Tool, behaviour: Behaviour
) -> None:
    tool.manifest(1)
    with NastyServer(behaviour) as server:
        assert_harmless(apply(tool, server.url, "-v"))


def test_what_the_api_says_breaks_no_line_of_the_state(tool: Tool) -> None:
    tool.manifest(1)
    message = "a\u2028b\u2029c\u0085d"
    with NastyServer(says(422, message)) as server:
        process = tool.start(
            *("apply", "--auto-approve", "--base-url", server.url),
            env={"PERSONASYNC_API_KEY": KEY},
        )
        process.communicate(timeout=60)
    text = (tool.folder / "personas.state.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line).get("message") for line in text.splitlines()][-1] == message


@pytest.mark.parametrize("persona_id", ["::error::x", "##[error]x", "x##vso[y]z", "a\x1b[31m"])
def test_an_id_that_a_log_would_obey_is_never_taken(tool: Tool, persona_id: str) -> None:
    tool.manifest(1)
    with NastyServer(created(persona_id)) as server:
        ended = apply(tool, server.url)
    assert ended.code == 3
    assert_harmless(ended)
    assert tool("output", "p-000").code == 1


def hostile_manifest(suffix: str = "") -> str:
    """Return a manifest with a persona for each of ``HOSTILE_NAMES``."""
    lines = ["version: 1", "personas:"]
    for number, text in enumerate(HOSTILE_NAMES):
        fields = {
            "taskId": f"task-{number}",
            "audioId": f"audio-{number}",
            "name": text + suffix,
            "description": f"{text} and a long warm voice{suffix}",
            "style": text,
        }
        lines += [f"  p-{number}:", *(f"    {k}: {json.dumps(v)}" for k, v in fields.items())]
    return "\n".join(lines) + "\n"


def test_what_a_manifest_says_cannot_steer_a_terminal_or_a_log(tool: Tool) -> None:
    tool.write("personas.yaml", hostile_manifest())
    summary = tool.folder / "summary.md"
    with NastyServer(*[says(422, "no")] * len(HOSTILE_NAMES), creates()) as server:
        at = ("--base-url", server.url)
        before: list[tuple[str, ...]] = [
            ("validate",),
            ("validate", "--format", "json"),
            ("plan", *at),
            ("plan", *at, "--format", "json"),
            ("plan", *at, "--format", "markdown"),
        ]
        after: list[tuple[str, ...]] = [
            ("plan", *at),
            ("state", "list"),
            ("state", "list", "--format", "json"),
            *(("state", "show", f"p-{number}") for number in (0, 2, 4)),
            ("state", "show", "p-4", "--format", "json"),
            ("state", "show", "p-4", "--format", "manifest"),
            ("output", "--format", "json"),
            ("output", "--format", "env"),
            ("output",),
        ]
        for command in before:
            assert_harmless(tool(*command))
        assert_harmless(tool("validate", "--format", "github"), commands=True)
        assert apply(tool, server.url, *SERIALLY, "-vv").code == 3
        for command in before:
            assert_harmless(tool(*command))
        last = apply(tool, server.url, *SERIALLY, "-vv")
        assert last.code == 0
        assert_harmless(last)
        for command in after:
            ended = tool(*command)
            assert ended.code == 0, ended
            assert_harmless(ended)
        tool.write("personas.yaml", hostile_manifest(" changed"))
        for command in before:
            assert_harmless(tool(*command))
        github = ("plan", *at, "--format", "github")
        ended = tool(*github, env={"GITHUB_STEP_SUMMARY": str(summary)})
        assert_harmless(ended, commands=True)
    assert not _UNSAFE.search(summary.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text", ["\x1b[31m\x07\x9b31m", "a\n::error::b\rc", "\u2028\x00"], ids=ascii
)
def test_control_characters_of_a_manifest_are_told_and_not_obeyed(tool: Tool, text: str) -> None:
    tool.write("personas.yaml", manifest_text(range(1), name=text, taskId=text))
    for command in (("validate",), ("plan",), ("validate", "--format", "json")):
        assert_harmless(tool(*command))
    assert_harmless(tool("validate", "--format", "github"), commands=True)
    tool.write("personas.yaml", f'version: 1\npersonas:\n  "{text!r}": {{x: "{text}"}}\n')
    assert_harmless(tool("validate"))


def test_hostile_words_of_the_command_line_are_only_shown(tool: Tool) -> None:
    tool.manifest(1)
    word = "\x1b[31m\n::error::x\u202e"
    for command in (
        ("plan", "--target", word),
        ("plan", "-f", word),
        ("output", word),
        ("state", "show", word),
        ("apply", word),
        ("plan", "--base-url", word),
    ):
        ended = tool(*command)
        assert ended.code != 0
        assert_harmless(ended)


# Size and time.


def test_an_endless_answer_ends(tool: Tool) -> None:
    tool.manifest(1)
    with NastyServer(flood(OK_HEAD + b"\r\n", b"x" * 65536)) as server:
        process = tool.start(
            *("apply", "--auto-approve", "--retry-for", "0s", "--base-url", server.url),
            env={"PERSONASYNC_API_KEY": KEY},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
            stderr=subprocess.DEVNULL,
        )
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"the answer is longer than 1 MiB" in stdout


@pytest.mark.parametrize("output", ["text", "github"])
def test_the_name_of_a_manifest_cannot_steer_a_log(tool: Tool, output: str) -> None:
    """Not even where the first apply says what to commit."""
    folder = tool.folder / "voices"
    folder.mkdir()
    (folder / "x\n::warning::obey\n.yaml").write_text(manifest_text([1, 2]))
    with NastyServer(creates()) as server:
        ended = apply(tool, server.url, "-f", "voices", "--format", output)
    assert ended.code == 0
    assert "commit it" in ended.stdout
    assert not [line for line in ended.stdout.splitlines() if line.startswith("::warning::obey")]


def test_of_many_files_none_is_left_out_of_what_to_commit(tool: Tool) -> None:
    folder = tool.folder / "voices"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.yaml").write_text(manifest_text([number]))
    with NastyServer(creates()) as server:
        ended = apply(tool, server.url, "-f", "voices")
    said = " ".join(ended.stdout.split())
    assert "commit it, together with the 3 files of the manifest." in said
