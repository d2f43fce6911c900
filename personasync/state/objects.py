"""Buckets of real object stores: S3 and what speaks it, Google Cloud Storage, Azure Blob.

One client, obstore, for all; its own retries are off, since a put that it
repeats after a cut answer finds "it exists already", and nobody knows whose.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from personasync.model.errors import ConfigurationError
from personasync.model.spelling import one_line
from personasync.state.background import Call, several
from personasync.state.bucket import (
    BucketError,
    ConflictError,
    Found,
    RefusedError,
    UnclearError,
    Version,
)
from personasync.state.locations import Location, check_http

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_T = TypeVar("_T")

_READ_TIMEOUT: Final = "5s"
"""Without a byte: a plan with no network has to say so within ten seconds."""
_WRITE_TIMEOUT: Final = "15s"
_FIRST_SECONDS: Final = 5.5
"""For the first answer of all: finding credentials may hang where nothing else does."""
_LATER_SECONDS: Final = 900.0
_AT_ONCE: Final = 16

_STATUS: Final = re.compile(r"status code: (\d{3})(?: ([A-Za-z ]+))?")
_CODE: Final = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE: Final = re.compile(r'<Message>([^<]{1,300})|"message": ?"([^"]{1,300})"')
_DEFINITE: Final = frozenset({400, 401, 403, 404, 405, 501})
_NOT_ANSWERS: Final = (
    ("certificate", "its certificate is not trusted (SSL_CERT_FILE names a private CA)", True),
    ("InvalidCertificate", "its certificate is not trusted", True),
    ("dns error", "its host name cannot be resolved", False),
    ("Connection refused", "the connection was refused", False),
    ("Connection reset", "the connection was reset", False),
    ("TimedOut", "it does not answer in time", False),
    ("operation timed out", "it does not answer in time", False),
    ("IncompleteMessage", "the connection was cut off", False),
    ("tcp connect error", "no connection could be made", False),
)
"""What stands in the client's words, what to say, and whether asking again is pointless."""


class ObstoreBucket:
    """The objects below a prefix of a store that obstore reaches.

    ``writer`` may be the same store with more patience for an answer.
    """

    def __init__(
        self, store: ObjectStore, prefix: str, *, writer: ObjectStore | None = None
    ) -> None:
        self._store = store
        self._writer = writer or store
        self._prefix = prefix
        self._answered = False

    def names(self, folder: str) -> list[str]:
        """See ``Bucket``."""
        start = len(self._prefix) + 1

        def listed() -> list[str]:
            stream = self._store.list(f"{self._prefix}/{folder}".rstrip("/"), chunk_size=1000)
            return [each["path"][start:] for chunk in stream for each in chunk]

        return [name for name in self._call(listed) if name.startswith(folder)]

    def get(self, name: str) -> Found | None:
        """See ``Bucket``."""
        return self._call(lambda: self._get(name))

    def get_many(self, names: Sequence[str]) -> Iterator[Found | None]:
        """See ``Bucket``."""
        calls = ((lambda name=name: self._get(name)) for name in names)
        with _said(_told):
            yield from several(calls, at_once=_AT_ONCE, seconds=_LATER_SECONDS)

    def create(self, name: str, data: bytes) -> Version:
        """See ``Bucket``."""
        return self._put(name, data, "create")

    def replace(self, name: str, data: bytes, version: Version) -> Version:
        """See ``Bucket``."""
        return self._put(name, data, json.loads(version))

    def other(self, version: Version) -> Version:
        """See ``Bucket``."""
        parts = {name: _altered(value) for name, value in json.loads(version).items()}
        return json.dumps(parts)

    def _get(self, name: str) -> Found | None:
        try:
            result = self._store.get(f"{self._prefix}/{name}")
            return Found(bytes(result.bytes()), _version(result.meta))
        except FileNotFoundError:
            return None

    def _put(self, name: str, data: bytes, mode: Any) -> Version:
        path = f"{self._prefix}/{name}"
        put = self._writer.put
        return self._call(lambda: _version(put(path, data, mode=mode, use_multipart=False)))

    def _call(self, call: Callable[[], _T]) -> _T:
        seconds = _LATER_SECONDS if self._answered else _FIRST_SECONDS
        with _said(_told):
            value = Call(call).wait(seconds)
        self._answered = True
        return value


def open_bucket(location: Location, environment: Mapping[str, str] = os.environ) -> ObstoreBucket:
    """Return the bucket of a location; nothing is asked of it yet.

    Raises ``ConfigurationError`` where a package or a setting is missing.
    """
    make = {"s3": _s3, "gs": _gcs, "az": _azure}[location.scheme]
    reader, writer = (make(location, environment, silence) for silence in _TIMEOUTS)
    return ObstoreBucket(reader, location.prefix, writer=writer)


_TIMEOUTS: Final = (_READ_TIMEOUT, _WRITE_TIMEOUT)
_EXTRAS: Final = {"s3": "s3", "gs": "gcs", "az": "azure"}


def missing_extra(scheme: str, package: str, extra: str) -> ConfigurationError:
    """Say which package is missing, and how to install it."""
    return ConfigurationError(
        f"a state at {scheme}:// needs the package {package}, which is not installed",
        hint=f"pip install 'personasync[{extra}]'",
    )


def _client(
    location: Location, environment: Mapping[str, str], endpoint: str | None, silence: str
) -> Any:
    """Return what every store's client is given; ``endpoint`` must be https or this machine's."""
    if endpoint is not None:
        check_http(endpoint, f"the endpoint of {location.text}")
    options: dict[str, object] = {
        "allow_http": endpoint is not None and endpoint.startswith("http://"),
        "connect_timeout": "4s",
        "read_timeout": silence,
        "timeout": "15m",
    }
    authority = _private_authority(environment)
    if authority is not None:
        options["root_certificate"] = authority
    return options


def _private_authority(environment: Mapping[str, str]) -> bytes | None:
    """Return what AWS_CA_BUNDLE names, or else what the API's client trusts.

    The store's own library heeds SSL_CERT_FILE by itself.
    """
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = environment.get(name)
        if not path:
            continue
        try:
            files = sorted(Path(path).iterdir()) if Path(path).is_dir() else [Path(path)]
            return b"\n".join(file.read_bytes() for file in files if file.is_file())
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the certificates that {name} names, {path}: {error.strerror}",
                hint=f"make the file readable, or unset {name}",
            ) from error
    return None


def _obstore(location: Location) -> Any:
    try:
        import obstore.store
    except ImportError:
        raise missing_extra(location.scheme, "obstore", _EXTRAS[location.scheme]) from None
    return obstore.store


@contextmanager
def _said(say: Callable[[Exception], Exception]) -> Iterator[None]:
    """Let no error of the client out: it has many kinds, and its words may hold a key."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the client may get more kinds
        raise say(error) from None


def _made(location: Location, make: Callable[[], Any]) -> Any:
    """Make a store; what its client finds wrong with the settings is the user's to mend."""

    def unusable(error: Exception) -> Exception:
        if isinstance(error, (ConfigurationError, ImportError)):
            return error
        return ConfigurationError(
            f"the settings for {location.text} cannot be used: {_first_line(error)}",
            hint="look at the credentials and the endpoint in the environment",
        )

    with _said(unusable):
        return make()


def _store(location: Location, kind: Any, client: Any, config: Mapping[str, object]) -> Any:
    place, retries = location.place, {"max_retries": 0, "retry_timeout": timedelta(0)}
    return _made(
        location, lambda: kind(place, client_options=client, retry_config=retries, **config)
    )


def _s3(location: Location, environment: Mapping[str, str], silence: str) -> Any:
    stores = _obstore(location)
    endpoint = location.parameters.get("endpoint") or _first(
        environment, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"
    )
    client = _client(location, environment, endpoint, silence)
    config: dict[str, object] = {}
    if endpoint is not None:
        config["aws_endpoint_url_s3"] = endpoint
    region = location.parameters.get("region") or _first(
        environment, "AWS_REGION", "AWS_DEFAULT_REGION"
    )
    if region is not None:
        config["region"] = region
    config["credential_provider"] = _profile(location, environment)
    return _store(location, stores.S3Store, client, config)


def _profile(location: Location, environment: Mapping[str, str]) -> Any:
    """Return the credentials of a profile; ``None`` where obstore finds some by itself.

    It reads no profiles: it would ask the instance's address, which outside of EC2 hangs.
    """
    native = (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    if _first(environment, *native) or environment.get("AWS_SKIP_SIGNATURE", "").lower() == "true":
        return None
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or "/nowhere") / ".aws"
    files = (
        environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials",
        environment.get("AWS_CONFIG_FILE") or home / "config",
    )
    if not environment.get("AWS_PROFILE") and not any(Path(file).is_file() for file in files):
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise missing_extra("s3", "boto3, which reads AWS profiles", "s3,aws") from None
    return _made(location, Boto3CredentialProvider)


def _gcs(location: Location, environment: Mapping[str, str], silence: str) -> Any:
    stores = _obstore(location)
    emulator = environment.get("STORAGE_EMULATOR_HOST")
    if emulator and "://" not in emulator:
        emulator = f"http://{emulator}"
    endpoint = environment.get("GOOGLE_BASE_URL") or emulator or None
    client = _client(location, environment, endpoint, silence)
    config: dict[str, object] = {}
    if endpoint is not None:
        config["base_url"] = endpoint.rstrip("/")
    if emulator:
        # Every client of Google's signs nothing for an emulator; this one asks for a token anyway.
        config["bearer_token"] = environment.get("GOOGLE_BEARER_TOKEN") or "emulator"
    else:
        config["credential_provider"] = _federated(location, environment)
    return _store(location, stores.GCSStore, client, config)


def _federated(location: Location, environment: Mapping[str, str]) -> Any:
    """Return the credentials of a federated account, whose files obstore does not know."""
    path = environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    try:
        kind = json.loads(Path(path).read_bytes()).get("type") if path else None
    except (OSError, ValueError, AttributeError):
        return None  # the client says what is wrong with it
    if kind != "external_account":
        return None
    try:
        from obstore.auth.google import GoogleCredentialProvider
    except ImportError:
        raise missing_extra("gs", "google-auth", "gcs,gcp") from None
    return _made(location, GoogleCredentialProvider)


def _azure(location: Location, environment: Mapping[str, str], silence: str) -> Any:
    stores = _obstore(location)
    connection = dict(
        part.split("=", 1)
        for part in environment.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";")
        if "=" in part
    )
    endpoint = (
        _first(environment, "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
        or connection.get("BlobEndpoint")
        or None
    )
    client = _client(location, environment, endpoint, silence)
    account = (
        location.parameters.get("account")
        or _first(environment, "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
        or connection.get("AccountName")
    )
    if not account:
        raise ConfigurationError(
            f"{location.text} does not say which storage account it is in",
            hint="write ?account=NAME behind it, or set AZURE_STORAGE_ACCOUNT_NAME",
        )
    config: dict[str, object] = {"account_name": account}
    if endpoint is not None:
        config["endpoint"] = endpoint.rstrip("/")
    key = connection.get("AccountKey") or environment.get("AZURE_STORAGE_KEY")
    if key:
        config["account_key"] = key
    if connection.get("SharedAccessSignature"):
        config["sas_key"] = connection["SharedAccessSignature"]
    return _store(location, stores.AzureStore, client, config)


def _first(environment: Mapping[str, str], *names: str) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def _version(meta: Mapping[str, Any]) -> Version:
    return json.dumps({name: meta[name] for name in ("e_tag", "version") if meta.get(name)})


def _altered(value: str) -> str:
    """Change the last letter or digit, so that the form stays."""
    at = max(index for index, sign in enumerate(value) if sign.isalnum())
    return f"{value[:at]}{'1' if value[at] != '1' else '2'}{value[at + 1 :]}"


# What a store's client says, told apart by its text: its errors carry no status.


def _told(error: Exception) -> BucketError:
    """Return what an error of the client means for what was asked."""
    if isinstance(error, TimeoutError):
        return UnclearError("it does not answer in time")
    kind = type(error).__name__
    text = str(error).partition("\n\nDebug source")[0]
    words = _words(text, str(error))
    if kind in ("AlreadyExistsError", "PreconditionError"):
        return ConflictError(words)
    status = _status(text)
    definite = status in _DEFINITE or (status or 0) // 100 == 3
    refusals = (FileNotFoundError, PermissionError, ValueError, TypeError)
    if kind in ("PermissionDeniedError", "UnauthenticatedError", "NotSupportedError"):
        definite = True
    if "<Code>RequestTimeout<" in text:  # S3 says 400 to a body that came too slowly
        definite = False
    if _no_credentials(text) or "configured region" in text:
        definite = True
    if status is None and any(sign in str(error) and final for sign, _, final in _NOT_ANSWERS):
        definite = True
    return RefusedError(words) if definite or isinstance(error, refusals) else UnclearError(words)


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return int(found[1]) if found else None


def _no_credentials(text: str) -> bool:
    return any(sign in text for sign in ("//169.254.", "metadata.google", "token request"))


def _words(text: str, whole: str) -> str:
    """Say in a few words what the client says in many; never its URL, which may hold a key."""
    if _no_credentials(text):
        return "no credentials for it were found in the environment"
    if "configured region" in text:
        return "it is in another region; name the right one"
    found = _STATUS.search(text)
    if found is None:
        known = (words for sign, words, _final in _NOT_ANSWERS if sign in whole)
        return next(known, "it could not be reached")
    code, message = _CODE.search(text), _MESSAGE.search(text)
    said = [f"{found[1]} {found[2] or ''}".strip()]
    said += [code[1]] if code else []
    said += [(message[1] or message[2]).splitlines()[0]] if message else []
    return _without_secrets(": ".join(said))


def _first_line(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return _without_secrets(re.sub(r"https?://\S+", "its address", text)[:200])


def _without_secrets(text: str) -> str:
    for name, value in os.environ.items():
        if len(value) > 7 and re.search("KEY|SECRET|TOKEN|PASSWORD|SAS|CONNECTION_STRING", name):
            text = text.replace(value, "***")
    return one_line(text)
