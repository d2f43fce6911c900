"""TLS, proxies and what else of the environment may touch a request, or may not."""

from __future__ import annotations

import base64
import gc
import logging
import shutil
import socket
import time
import warnings
from pathlib import Path

import pytest

from personasync.api.client import HttpApi
from personasync.api.key import ApiKey
from personasync.api.transport import Route, environment_route
from personasync.model.errors import ConfigurationError
from personasync.model.outcome import Created, NotSent, Outcome, Unclear
from personasync.model.persona import PersonaRequest
from tests.helpers.nasty import (
    CERTIFICATES,
    Behaviour,
    NastyServer,
    Talk,
    answer,
    closed_port,
    created,
    cut_off,
    drip,
    flood,
    hang_up,
    raw,
    reset_at_once,
    silence,
    sit_there,
    tunnel_to,
)
from tests.unit.api.said import body_of, unclear

KEY = "sk-4f9a1c7e2b8d6053"
REQUEST = PersonaRequest("task-1", "audio-1", "n", "A warm voice")
CA = str(CERTIFICATES / "ca.pem")
CA_HASH = "47e9af42"
PRIVATE_CA_HINT = "(SSL_CERT_FILE can name the file of a private CA)"


def ask(url: str, *, connect: float = 60.0, read: float = 60.0) -> Outcome:
    return HttpApi(url, ApiKey(KEY), connect_timeout=connect, read_timeout=read).create(REQUEST)


@pytest.fixture(autouse=True)
def _no_proxy_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every proxy here is on this machine, and set by the test that needs it."""
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CA)


# Whose certificates are trusted.


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_ca_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    monkeypatch.setenv(variable, CA)
    with NastyServer(created("a1b2"), certificate="server.pem") as server:
        assert ask(f"https://{name}:{server.port}") == Created("a1b2")


def test_a_folder_of_private_cas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copy(CA, tmp_path / f"{CA_HASH}.0")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with NastyServer(created("a1b2"), certificate="server.pem") as server:
        assert ask(server.url) == Created("a1b2")


def test_the_variable_of_requests_goes_before_openssl_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "self-signed.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", CA)
    with NastyServer(created("a1b2"), certificate="self-signed.pem") as server:
        assert ask(server.url) == Created("a1b2")


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ("self-signed.pem", f"self-signed certificate {PRIVATE_CA_HINT}"),
        ("server.pem", f"unable to get local issuer certificate {PRIVATE_CA_HINT}"),
    ],
)
def test_a_certificate_from_nobody_known_is_refused(certificate: str, reason: str) -> None:
    with NastyServer(created("a1b2"), certificate=certificate) as server:
        said = ask(server.url)
    assert said == NotSent(f"the server's certificate is not trusted: {reason}")
    assert (server.requests, server.seen) == ([], b"")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_advice_names_the_variable_that_is_heeded(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(CERTIFICATES / "self-signed.pem"))
    with NastyServer(created("a1b2"), certificate="server.pem") as server:
        said = ask(server.url)
    assert isinstance(said, NotSent)
    assert said.reason.endswith(f" ({variable}, which is set, names the CAs that are trusted)")


def test_a_proxy_that_wants_a_password_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for status in (407, 502):
        with NastyServer(answer(b"", status, close=True)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            said = ask("https://localhost:1")
        assert isinstance(said, NotSent)
        assert said.stops_run == (status == 407)


def test_a_certificate_for_another_host_is_refused(trusted: None) -> None:
    with NastyServer(created("a1b2"), certificate="elsewhere.pem") as server:
        said = ask(server.url)
    assert isinstance(said, NotSent)
    assert said.reason.startswith("the server's certificate is not trusted: IP address mismatch")
    assert PRIVATE_CA_HINT not in said.reason
    assert server.seen == b""


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_ca_that_is_not_there(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "/no/such/ca.pem")
    with pytest.raises(ConfigurationError) as caught:
        HttpApi("https://api.example", ApiKey(KEY))
    assert caught.value.message == (
        f"cannot use /no/such/ca.pem, which {variable} names: No such file or directory"
    )
    assert caught.value.hint == (
        "it must be a file of certificates in PEM form, or a folder of them"
    )


@pytest.mark.parametrize("data", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\n", b"\0"])
def test_a_private_ca_that_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(data)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(ConfigurationError) as caught:
        HttpApi("https://api.example", ApiKey(KEY))
    assert caught.value.message == (
        f"cannot use {path}, which SSL_CERT_FILE names: it holds no certificates"
    )


def test_a_private_ca_does_not_matter_to_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/ca.pem")
    with NastyServer(created("a1b2")) as server:
        assert ask(server.url) == Created("a1b2")


# What fails before anything is sent.


def test_a_host_that_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", find_nothing)
    assert ask("https://api.example") == NotSent("the host name could not be resolved")


def _drip_a_handshake(talk: Talk) -> None:
    talk.send(b"\x16\x03\x03\x40\x00")
    while True:
        talk.send(b"\x02")
        talk.sleep(0.05)


@pytest.mark.parametrize(
    ("greet", "reason"),
    [
        (sit_there, "no connection within 0.5s"),
        (_drip_a_handshake, "no connection within 0.5s"),
    ],
)
def test_a_handshake_that_does_not_end_well(greet: Behaviour, reason: str) -> None:
    with NastyServer(created("a1b2"), certificate="server.pem", greet=greet) as server:
        started = time.monotonic()
        said = ask(server.url, connect=0.5)
    assert time.monotonic() - started < 30
    assert said == NotSent(reason)


def _close(talk: Talk) -> None:
    talk.close()


@pytest.mark.parametrize("greet", [_close, reset_at_once])
def test_a_handshake_that_is_hung_up_on(greet: Behaviour) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Python's ssl leaves a reset one open
        with NastyServer(created("a1b2"), certificate="server.pem", greet=greet) as server:
            said = ask(server.url)
        gc.collect()
    assert isinstance(said, NotSent)
    assert said.reason.startswith(("the TLS connection failed: ", "the connection was closed"))


def test_a_server_that_speaks_no_tls() -> None:
    with NastyServer(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), greet=_say_plainly) as server:
        said = ask(f"https://127.0.0.1:{server.port}")
    assert isinstance(said, NotSent)
    assert said.reason.startswith("the TLS connection failed: ")
    assert KEY.encode() not in server.seen


def _say_plainly(talk: Talk) -> None:
    talk.wait_for_bytes()
    talk.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    talk.close()


# The same faults under TLS.


@pytest.mark.parametrize(
    ("behaviour", "read", "outcome"),
    [
        (hang_up, 60, unclear("the connection was closed before the answer was whole")),
        (silence, 0.5, unclear("no whole answer within 0.5s")),
        (
            drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
            0.5,
            unclear("no whole answer within 0.5s", 200),
        ),
        (
            drip(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b" "),
            2,  # enough for the headers
            unclear("no whole answer within 2s", 200),
        ),
        (
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
            60,
            unclear("the answer was cut off", 200, "{"),
        ),
        (
            flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
            60,
            unclear("the answer is longer than 1 MiB", 200, "x" * 4096),
        ),
    ],
)
def test_faults_under_tls(
    trusted: None, behaviour: Behaviour, read: float, outcome: Unclear
) -> None:
    with NastyServer(behaviour, certificate="server.pem") as server:
        said = ask(server.url, read=read)
    assert isinstance(said, Unclear)
    assert (said.reason, said.code) == (outcome.reason, outcome.code)
    assert body_of(said).strip() == body_of(outcome)


def test_a_reset_in_an_answer_under_tls(trusted: None) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
    with NastyServer(cut_off(half), certificate="server.pem") as server:
        said = ask(server.url)
    assert isinstance(said, Unclear)
    assert (said.code, body_of(said)) == (200, "{")
    assert said.reason in (  # which of them, is OpenSSL's choice
        "the answer was cut off",
        "the connection was closed before the answer was whole",
    )


@pytest.mark.parametrize("chunked", [False, True])
def test_tls_is_for_each_request_anew(trusted: None, chunked: bool) -> None:
    with NastyServer(created("a1b2", chunked=chunked), certificate="server.pem") as server:
        api = HttpApi(server.url, ApiKey(KEY))
        assert [api.create(REQUEST) for _ in range(3)] == [Created("a1b2")] * 3
    assert server.connections == 3


# Proxies.


def test_a_proxy_carries_tls_and_never_sees_the_key(
    trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        NastyServer(created("a1b2"), certificate="server.pem") as server,
        NastyServer(tunnel_to(server.port)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        api = HttpApi(server.url, ApiKey(KEY))
        assert [api.create(REQUEST) for _ in range(2)] == [Created("a1b2")] * 2
        assert [(r.method, r.target) for r in proxy.requests] == [
            ("CONNECT", f"127.0.0.1:{server.port}")
        ] * 2
        assert "Authorization" not in proxy.requests[0].headers
        assert len(proxy.seen) > 500, "the proxy carried the requests"
        assert KEY.encode() not in proxy.seen
        assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("variable", ["https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_under_its_other_names(
    trusted: None, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    with (
        NastyServer(created("a1b2"), certificate="server.pem") as server,
        NastyServer(tunnel_to(server.port)) as proxy,
    ):
        monkeypatch.setenv(variable, f"{scheme}127.0.0.1:{proxy.port}")
        assert ask(server.url) == Created("a1b2")
        assert proxy.connections == 1


def test_a_proxy_gets_its_own_credentials_and_not_the_key(
    trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        NastyServer(created("a1b2"), certificate="server.pem") as server,
        NastyServer(tunnel_to(server.port)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        assert ask(server.url) == Created("a1b2")
        told = base64.b64encode(b"user:hunter2").decode()
        assert proxy.requests[0].headers["Proxy-Authorization"] == f"Basic {told}"
        assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
        assert "Proxy-Authorization" not in server.requests[0].headers


def test_a_host_that_needs_no_proxy(trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        NastyServer(created("a1b2"), certificate="server.pem") as server,
        NastyServer(hang_up) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert ask(server.url) == Created("a1b2")
        assert proxy.connections == 0


PROXY_FAULTS: list[tuple[Behaviour, str]] = [
    (
        answer("pay first", 407, reason="Proxy Authentication Required", close=True),
        "through the proxy: Tunnel connection failed: 407 Proxy Authentication Required",
    ),
    (
        answer(b"", 502, reason=f"Bad key {KEY}", close=True),
        "through the proxy: Tunnel connection failed: 502 Bad key ***",
    ),
    (silence, "no connection within 0.5s"),
    (drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "no connection within 0.5s"),
    (flood(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100), "no connection within 0.5s"),
    (hang_up, "through the proxy: the connection was closed before the answer was whole"),
    (raw(b"SSH-2.0-OpenSSH\r\n"), "through the proxy: the answer is not HTTP"),
]


@pytest.mark.parametrize(("behaviour", "reason"), PROXY_FAULTS, ids=range(len(PROXY_FAULTS)))
def test_a_proxy_that_does_not_carry_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, reason: str
) -> None:
    with NastyServer(behaviour) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        started = time.monotonic()
        said = ask("https://localhost:1", connect=0.5 if "0.5s" in reason else 60)
    assert time.monotonic() - started < 30
    assert isinstance(said, NotSent)
    assert said.reason.removeprefix("through the proxy: ") == reason.removeprefix(
        "through the proxy: "
    )
    assert KEY.encode() not in proxy.seen


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
        said = ask("https://localhost:1")
    assert said == NotSent("through the proxy: the connection was refused")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy", ["http://192.0.2.1:3128", "192.0.2.1:3128", "socks5://127.0.0.1:1080", "nonsense::"]
)
def test_this_machine_is_not_reached_through_another(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    with NastyServer(created("a1b2")) as server:
        assert ask(server.url) == Created("a1b2")  # the guard refuses any other machine


def test_this_machine_may_be_reached_through_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with NastyServer(created("a1b2")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert ask("http://127.0.0.1:1") == Created("a1b2")
    assert proxy.requests[0].target == "http://127.0.0.1:1/api/v1/generate/generate-persona"


def test_a_server_of_this_process_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/ca.pem")
    with NastyServer(created("a1b2")) as server:
        api = HttpApi(server.url, ApiKey(KEY), direct=True)
        assert api.create(REQUEST) == Created("a1b2")


def test_a_private_ca_counts_where_a_proxy_does_not(
    trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://192.0.2.1:3128")
    with NastyServer(created("a1b2"), certificate="server.pem") as server:
        assert ask(server.url) == Created("a1b2")


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "https://proxy.example"}, "https://proxy.example"),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, None),
        ({"ALL_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "http://127.0.0.1:3128"}, "http://127.0.0.1:3128"),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": ".example"}, None),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_route_to_another_machine(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment_route("https://api.example") == Route("https://api.example", proxy)


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://user:hunter2@proxy.example:1080",
        "http://user:hunter2@:3128",
        "http://user:hunter2@proxy.example:port",
        "http://user:hunter2@[::1",
        "ftp://user:hunter2@proxy.example",
    ],
)
def test_a_proxy_that_cannot_be_one_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError) as caught:
        HttpApi("https://api.example", ApiKey(KEY))
    assert caught.value.message == (
        "the environment names a proxy that cannot be one, or that is not HTTP"
    )
    assert "hunter2" not in str(caught.value.hint)


# .netrc


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", ["HOME", "NETRC"])
def test_a_netrc_does_not_replace_the_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, variable: str
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine {name} login me password mine\ndefault login me password mine\n")
    netrc.chmod(0o600)
    monkeypatch.setenv(variable, str(netrc if variable == "NETRC" else tmp_path))
    with NastyServer(created("a1b2")) as server:
        assert ask(f"http://{name}:{server.port}") == Created("a1b2")
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_the_libraries_log_nothing_of_the_key(
    trusted: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with NastyServer(created("a1b2"), certificate="server.pem") as server:
        ask(server.url)
    assert caplog.records
    assert KEY not in caplog.text
