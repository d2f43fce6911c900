"""Where requests may go, and that no message gives away what a base URL holds by mistake."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.api.base_url import parse_base_url
from personasync.model.errors import ConfigurationError
from personasync.model.hosts import is_loopback


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("https://apibox.erweima.ai", "https://apibox.erweima.ai"),
        ("https://apibox.erweima.ai/", "https://apibox.erweima.ai"),
        ("HTTPS://ApiBox.Erweima.AI:443///", "https://apibox.erweima.ai"),
        ("  https://api.kie.ai\n", "https://api.kie.ai"),
        ("https://gateway.example:8443/Suno/v2/", "https://gateway.example:8443/Suno/v2"),
        ("https://gateway.example:", "https://gateway.example"),
        ("https://192.0.2.7", "https://192.0.2.7"),
        ("https://[2001:DB8::7]:8443", "https://[2001:db8::7]:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://127.0.0.1:8700", "http://127.0.0.1:8700"),
        ("http://127.9.8.7:443", "http://127.9.8.7:443"),
        ("http://LOCALHOST:8700/", "http://localhost:8700"),
        ("http://[::1]:8700", "http://[::1]:8700"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[0:0:0:0:0:0:0:1]"),
    ],
)
def test_what_a_base_url_becomes(text: str, base_url: str) -> None:
    assert parse_base_url(text) == base_url
    assert parse_base_url(base_url) == base_url


@pytest.mark.parametrize(
    "host",
    [
        "api.example",
        "192.0.2.7",
        "0.0.0.0",
        "[::]",
        "[2001:db8::1]",
        "[fe80::1%25lo]",
        "10.0.0.1",
        "169.254.169.254",
        "127.1",
        "127.0.0.1.example",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "localhost.example",
        "localhost.",
        "notlocalhost",
        "%6cocalhost",
    ],
)
def test_plain_http_to_another_machine_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_base_url(f"http://{host}:8700/base")
    shown = host.strip("[]")
    assert caught.value.message == (
        f"refusing plain http to {shown}: the API key would travel unencrypted"
    )
    assert caught.value.hint == (
        "use https; http is for this machine only (127.0.0.1, localhost, [::1])"
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@api.example",
        "https://hunter2@api.example",
        "https://:hunter2@api.example",
        "https://@api.example",
        "http://user:hunter2@127.0.0.1:8700",
        "http://127.0.0.1:8700@hunter2.example",
        "ftp://user:hunter2@api.example",
        "https://user:hunter2@",
        "https://user:hunter2@api.example:port",
        "https://user:hunter2@[::1",
        "https://user:hun ter2@api.example",
        "https://user:hunter2@api.example/?q#f",
        "https://user:hunter2é@api.example",
        "user:hunter2@api.example",
        "https://api.example/hunter2@x",
    ],
)
def test_credentials_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_base_url(text)
    assert caught.value.message == "the base URL must not carry credentials"
    assert caught.value.hint == (
        "give the key in PERSONASYNC_API_KEY and the base URL without `user@`"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it must begin with https:// and name a host"),
        ("apibox.erweima.ai", "it must begin with https:// and name a host"),
        ("//apibox.erweima.ai", "it must begin with https:// and name a host"),
        ("https:apibox.erweima.ai", "it must begin with https:// and name a host"),
        ("https://", "it must begin with https:// and name a host"),
        ("https://:443", "it must begin with https:// and name a host"),
        ("ftp://api.example", "it must begin with https:// and name a host"),
        ("file:///etc/passwd", "it must begin with https:// and name a host"),
        ("javascript:alert(1)", "it must begin with https:// and name a host"),
        ("https://api.example?key=1", "it must not have a query or a fragment"),
        ("https://api.example/#top", "it must not have a query or a fragment"),
        ("http://127.0.0.1?.example", "it must not have a query or a fragment"),
        ("https://api .example", "it holds a character that no URL has"),
        ("https://api.exa\nmple", "it holds a character that no URL has"),
        ("https://api.example/\tx", "it holds a character that no URL has"),
        ("https://api.example\r\nX-Evil: 1", "it holds a character that no URL has"),
        ("http://127.0.0.1\\.example", "it holds a character that no URL has"),
        ("https://api.example/\x1b[31m", "it holds a character that no URL has"),
        ("https://api.example/\x7f", "it holds a character that no URL has"),
        ("https://äpi.example", "it holds a character that no URL has"),
        ("http://127.0.0.1\u3002example", "it holds a character that no URL has"),
        ("https://api.example:99999", "Port out of range 0-65535"),
        ("https://[::1", "Invalid IPv6 URL"),
    ],
)  # fmt: skip
def test_what_is_no_base_url(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_base_url(text)
    assert caught.value.message == f"{text!r} cannot be a base URL: {why}"
    assert str(caught.value.hint) == (
        "write it like https://apibox.erweima.ai, in base_url or PERSONASYNC_BASE_URL"
    )


def test_a_long_text_is_shown_shortened() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_base_url("x" * 10_000)
    assert caught.value.message == (
        f"'{'x' * 100}…' cannot be a base URL: it must begin with https:// and name a host"
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.255.254", "::1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "128.0.0.1", "localhost.example", "127.1", "::1%eth0"]
)
def test_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"https?://[a-z0-9.:@/?#\\\[\]%-]*", fullmatch=True),
        st.from_regex(r"http://(127\.0\.0\.1|localhost|\[::1\])[@:/?#.\\a-z0-9]*", fullmatch=True),
    )
)
def test_what_is_accepted_is_stable_and_safe(text: str) -> None:
    try:
        base_url = parse_base_url(text)
    except ConfigurationError:
        return
    assert parse_base_url(base_url) == base_url
    parts = urlsplit(base_url)
    assert parts.scheme == "https" or is_loopback(parts.hostname or "")
    assert "@" not in base_url
    assert base_url.isprintable()
    assert not base_url.endswith("/")
