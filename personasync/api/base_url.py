"""Where requests may go: https anywhere, plain http to this machine only."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from personasync.model.errors import ConfigurationError
from personasync.model.hosts import ONLY_HERE, is_loopback
from personasync.model.spelling import cut
from personasync.model.steps import NextStep, Option

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_CHARACTERS: Final = re.compile(r"[!-\[\]-~]*")
_SHOWN: Final = 101


def parse_base_url(text: str) -> str:
    """Return a base URL in the one form that states and plans record.

    Scheme and host in lower case, no default port, no slash at the end.
    Raises ``ConfigurationError`` for what is no URL, carries credentials, a
    query or a fragment, or would send the key over plain http to another
    machine.
    """
    text = text.strip()
    if "@" in text:  # looked for first: no other message may show what stands before it
        raise ConfigurationError(
            "the base URL must not carry credentials",
            hint="give the key in PERSONASYNC_API_KEY and the base URL without `user@`",
        )
    if not _CHARACTERS.fullmatch(text):
        raise _unusable(text, "it holds a character that no URL has")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _unusable(text, str(error)) from None
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise _unusable(text, "it must begin with https:// and name a host")
    if parts.query or parts.fragment:
        raise _unusable(text, "it must not have a query or a fragment")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"refusing plain http to {host}: the API key would travel unencrypted",
            hint=ONLY_HERE,
        )
    name = f"[{host}]" if ":" in host else host
    place = name if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{name}:{port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}"


def _unusable(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{cut(text, _SHOWN)!r} cannot be a base URL: {why}",
        hint=NextStep(
            "write it like https://apibox.erweima.ai, in ",
            Option("base-url"),
            " or PERSONASYNC_BASE_URL",
        ),
    )
