"""Where a state may be kept: a path, or the URL of a shared one, read once and strictly.

What an object store's client does not know it drops without a word, so every
part of a URL is checked here. Nothing that this module returns for people to
read holds a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from personasync.model.errors import UsageError
from personasync.model.hosts import ONLY_HERE, is_loopback
from personasync.model.spelling import nearest
from personasync.model.steps import NextStep, Option

_FORMS: Final = {
    "s3": "s3://BUCKET/PREFIX",
    "gs": "gs://BUCKET/PREFIX",
    "az": "az://CONTAINER/PREFIX",
    "postgresql": "postgresql://[USER@]HOST[:PORT]/DATABASE",
}
_OBJECT_PARAMETERS: Final = {
    "s3": frozenset({"region", "endpoint"}),
    "gs": frozenset[str](),
    "az": frozenset({"account"}),
}
_LIBPQ: Final = frozenset(
    {
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "options",
        "passfile",
        "port",
        "require_auth",
        "requirepeer",
        "service",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslsni",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    }
)
_OUR_POSTGRES: Final = frozenset({"state", "schema"})
_SECRET: Final = frozenset(
    {
        "password",
        "sslpassword",
        "scram_client_key",
        "scram_server_key",
        "oauth_client_secret",
        "access_key",
        "access_key_id",
        "secret_access_key",
        "secret",
        "session_token",
        "token",
        "key",
        "account_key",
        "sas_token",
        "sig",
        "credential",
    }
)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PLACE: Final = re.compile(r"[A-Za-z0-9$](?:[A-Za-z0-9._$-]{0,253}[A-Za-z0-9$])?")
_PART: Final = re.compile(r"[A-Za-z0-9!_.*'()@=+,&:$~ -]+")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,63}")


@dataclass(frozen=True, slots=True)
class Location:
    """The URL of a shared state, taken apart.

    ``text`` is the URL without secrets, for people and files. ``place`` is
    the bucket or container and ``prefix`` the path below it; for PostgreSQL
    they are the hosts and the database, and ``password`` may be known.
    """

    scheme: str
    text: str
    place: str
    prefix: str
    parameters: Mapping[str, str]
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Location({self.text!r})"


def shared_location(text: str) -> Location:
    """Take the URL of a shared state apart; raises ``UsageError`` for anything else."""
    found = _SCHEME.match(text)
    if found is None:
        scheme = text.partition(":")[0].lower()
        raise _unusable("the place of a shared state begins with its scheme and ://", scheme)
    scheme = found[1]
    if scheme not in _FORMS:
        raise _unusable(f"{scheme}:// is no place for a state", scheme)
    try:
        parts = urlsplit(text)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _unusable("the state's location is not a URL", scheme) from None
    parameters = _parameters(scheme, query)
    if "#" in text:
        raise _unusable("the state's location has a part behind '#'", scheme)
    if scheme == "postgresql":
        return _database(parts.netloc, parts.path, parameters)
    return _objects(scheme, parts.netloc, parts.path, parameters, text)


def has_secret(text: str) -> bool:
    """Whether a location carries a password or a key, which a process list would show."""
    found = _SCHEME.match(text)
    if found is None:
        return False
    rest = text[found.end() :]
    netloc, _, query = rest.partition("?")
    if ":" in netloc.partition("/")[0].rpartition("@")[0]:
        return True
    names = (part.partition("=")[0] for part in query.split("&"))
    return any(unquote(name).casefold() in _SECRET for name in names)


def check_http(url: str, what: str) -> None:
    """Refuse an endpoint that is neither https nor on this machine.

    ``what`` says where the endpoint came from. Raises ``UsageError``.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise UsageError(
            f"{what} must begin with https:// and name a host",
            hint="write it like https://storage.example.com",
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"{what} must not carry credentials", hint="leave out what stands before @"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(
            f"refusing plain http to {host}: keys and IDs would travel unencrypted",
            hint=ONLY_HERE,
        )


def _parameters(scheme: str, query: list[tuple[str, str]]) -> Mapping[str, str]:
    known = _OBJECT_PARAMETERS.get(scheme, _LIBPQ | _OUR_POSTGRES)
    parameters: dict[str, str] = {}
    for name, value in query:
        if name == "password" and scheme == "postgresql":
            pass
        elif name.casefold() in _SECRET:
            raise UsageError(
                f"the state's location must not carry a secret ({name})",
                hint=_CREDENTIALS[scheme],
            )
        elif name not in known:
            meant = nearest(name, known)
            offered = ", ".join(sorted(_OBJECT_PARAMETERS.get(scheme, _OUR_POSTGRES)))
            also = " and libpq's own" if scheme == "postgresql" else ""
            raise UsageError(
                f"{scheme}:// knows no parameter {name!r}",
                hint=f"did you mean {meant}?" if meant else f"it knows {offered or 'none'}{also}",
            )
        if name in parameters:
            raise UsageError(f"the state's location gives {name} twice", hint="leave one out")
        if not value:
            raise UsageError(f"the state's location gives {name} no value", hint="leave it out")
        parameters[name] = value
    return MappingProxyType(parameters)


def _objects(
    scheme: str, place: str, path: str, parameters: Mapping[str, str], text: str
) -> Location:
    if "@" in place or ":" in place:
        raise UsageError(
            "the state's location must not carry credentials or a port",
            hint=_CREDENTIALS[scheme],
        )
    if not _PLACE.fullmatch(place):
        raise _unusable("the state's location names no bucket", scheme)
    prefix = path.removeprefix("/").removesuffix("/")
    parts = prefix.split("/")
    if not prefix:
        raise _unusable(f"the state's location has no prefix behind {place!r}", scheme)
    if any(part in ("", ".", "..") or not _PART.fullmatch(part) for part in parts):
        raise UsageError(
            "the prefix in the state's location has a part that no object's name should have",
            hint="its parts are letters, digits and signs such as '-', '_' and '.', none of them"
            " empty, '.' or '..'",
        )
    if "endpoint" in parameters:
        check_http(parameters["endpoint"], "the endpoint in the state's location")
    return Location(scheme, text, place, prefix, parameters)


def _database(netloc: str, path: str, parameters: Mapping[str, str]) -> Location:
    credentials, at, hosts = netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    given = dict(parameters)
    secret = given.pop("password", None) or (unquote(password) or None)
    database = path.removeprefix("/")
    if not hosts and not {"host", "hostaddr", "service"} & given.keys():
        raise _unusable("the state's location names no host", "postgresql")
    if not (database or {"dbname", "service"} & given.keys()) or "/" in database:
        raise _unusable("the state's location names no database", "postgresql")
    for name in _OUR_POSTGRES & given.keys():
        if not _NAME.fullmatch(given[name]):
            raise UsageError(f"{given[name]!r} cannot be a {name}", hint="use up to 63 characters")
    query = "&".join(f"{name}={_quoted(value)}" for name, value in given.items())
    text = f"postgresql://{user}{at}{hosts}{path}" + (f"?{query}" if query else "")
    return Location(
        "postgresql",
        text,
        hosts,
        unquote(database),
        MappingProxyType(given),
        user=unquote(user) or None,
        password=secret,
    )


def _quoted(value: str) -> str:
    from urllib.parse import quote

    return quote(value, safe="/:@,+")


def _unusable(problem: str, scheme: str) -> UsageError:
    meant = scheme if scheme in _FORMS else _MEANT.get(scheme) or nearest(scheme, _FORMS)
    if meant is None:
        forms = ", ".join(_FORMS.values())
        return UsageError(
            problem, hint=NextStep("give ", Option("state"), f" a path, or one of {forms}")
        )
    if meant != scheme:
        problem += f"; did you mean {meant}://?"
    return UsageError(problem, hint=f"write {_FORMS[meant]}")


_MEANT: Final = {
    **dict.fromkeys(("s", "s2", "s4", "s3a", "s3n", "aws", "minio"), "s3"),
    **dict.fromkeys(("g", "gcs", "gcp", "google"), "gs"),
    **dict.fromkeys(("azure", "abfs", "abfss", "wasb", "wasbs", "adl", "blob"), "az"),
    **dict.fromkeys(("postgres", "psql", "pg", "pgsql"), "postgresql"),
}
_CREDENTIALS: Final = {
    "s3": "credentials come from AWS_ACCESS_KEY_ID and its kin, or a profile",
    "gs": "credentials come from GOOGLE_APPLICATION_CREDENTIALS",
    "az": "credentials come from AZURE_STORAGE_ACCOUNT_KEY and its kin",
    "postgresql": "the password comes from PGPASSWORD or ~/.pgpass",
}
