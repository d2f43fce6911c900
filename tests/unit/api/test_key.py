"""The API key: where it comes from, and that it is never shown."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.api.key import ApiKey, read_api_key
from personasync.model.errors import ConfigurationError

SECRET = "sk-9f2c/7A+b\"4\\e1'd8=%c0"


def refusal(environment: dict[str, str]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read_api_key(environment)
    return caught.value


@pytest.mark.parametrize(
    "environment", [{}, {"PERSONASYNC_API_KEY": ""}, {"PERSONASYNC_API_KEY": " \n"}]
)
def test_no_key(environment: dict[str, str]) -> None:
    assert read_api_key(environment) is None


@pytest.mark.parametrize("given_text", ["k", SECRET, f"  {SECRET}\n", "x" * 4096])
def test_the_key_of_the_environment(given_text: str) -> None:
    assert read_api_key({"PERSONASYNC_API_KEY": given_text}) == ApiKey(given_text.strip())


@pytest.mark.parametrize(
    "data",
    [
        SECRET.encode(),
        SECRET.encode() + b"\n",
        SECRET.encode() + b"\r\n",
        b"\n  " + SECRET.encode() + b"\n\n",
        b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n",
    ],
)
def test_the_key_of_a_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(data)
    assert read_api_key({"PERSONASYNC_API_KEY_FILE": str(path)}) == ApiKey(SECRET)


def test_the_key_of_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(SECRET,))
    writer.start()
    try:
        for _ in range(2):  # an unexpected error asks for it again
            assert read_api_key({"PERSONASYNC_API_KEY_FILE": str(path)}) == ApiKey(SECRET)
    finally:
        writer.join()


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    environment = {"PERSONASYNC_API_KEY": "a", "PERSONASYNC_API_KEY_FILE": missing}
    assert read_api_key(environment) == ApiKey("a")


def test_an_empty_variable_leaves_it_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("b")
    environment = {"PERSONASYNC_API_KEY": "", "PERSONASYNC_API_KEY_FILE": str(tmp_path / "key")}
    assert read_api_key(environment) == ApiKey("b")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "missing"
    error = refusal({"PERSONASYNC_API_KEY_FILE": str(path)})
    assert error.message == (
        f"cannot read {path}, which PERSONASYNC_API_KEY_FILE names: No such file or directory"
    )
    assert error.exit_code == 1


def test_a_file_that_is_a_folder(tmp_path: Path) -> None:
    error = refusal({"PERSONASYNC_API_KEY_FILE": str(tmp_path)})
    assert error.message == (
        f"cannot read {tmp_path}, which PERSONASYNC_API_KEY_FILE names: Is a directory"
    )


@pytest.mark.parametrize("data", [b"", b" \r\n", b"\xef\xbb\xbf\n"])
def test_a_file_that_is_empty(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(data)
    error = refusal({"PERSONASYNC_API_KEY_FILE": str(path)})
    assert error.message == "the file that PERSONASYNC_API_KEY_FILE names is empty"


@pytest.mark.parametrize(
    "value",
    [
        f"{SECRET} {SECRET}",
        f"Bearer {SECRET}",
        f"{SECRET}\nX-Evil: 1",
        f"{SECRET}\r\nX-Evil: 1",
        f"{SECRET}\x00",
        f"{SECRET}\x1b[31m",
        f"é{SECRET}",
        f"{SECRET}\u200b",
        "x" * 4097,
    ],
    ids=ascii,
)
def test_what_cannot_be_a_key_is_refused_and_not_shown(tmp_path: Path, value: str) -> None:
    (tmp_path / "key").write_text(value, encoding="utf-8")
    for environment, source in (
        ({"PERSONASYNC_API_KEY": value}, "PERSONASYNC_API_KEY"),
        (
            {"PERSONASYNC_API_KEY_FILE": str(tmp_path / "key")},
            "the file that PERSONASYNC_API_KEY_FILE names",
        ),
    ):
        error = refusal(environment)
        assert error.message == f"{source} holds something that cannot be an API key"
        assert SECRET not in f"{error!r} {error.hint}"


@pytest.mark.parametrize("data", [b"\xff\xfe" + SECRET.encode("utf-16-le"), b"\x00" * 9000])
def test_a_file_that_holds_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)
    error = refusal({"PERSONASYNC_API_KEY_FILE": str(tmp_path / "key")})
    assert error.message.endswith("holds something that cannot be an API key")


def test_a_key_prints_as_stars() -> None:
    key = ApiKey(SECRET)
    shown = f"{key} {key!r} {key!s} {[key]} {(key,)}"
    assert SECRET not in shown
    assert str(key) == "***"
    assert repr(key) == "ApiKey(***)"


def test_a_key_in_another_dataclass_prints_as_stars() -> None:
    @dataclasses.dataclass
    class Holder:
        key: ApiKey

    assert repr(Holder(ApiKey(SECRET))).endswith("Holder(key=ApiKey(***))")


def test_a_key_survives_a_copy() -> None:
    assert pickle.loads(pickle.dumps(ApiKey(SECRET))) == ApiKey(SECRET)


@pytest.mark.parametrize(
    "echoed",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(json.dumps(SECRET))[3:-3],
        repr(SECRET)[1:-1],
        repr(SECRET.encode())[2:-1],
        quote(SECRET, safe=""),
        quote(SECRET, safe="/+="),
        "".join(f"\\u{ord(character):04x}" for character in SECRET),
        "".join(f"\\u{ord(character):04X}" for character in SECRET),
        SECRET.replace("/", "\\/"),
        SECRET.upper(),
        SECRET.lower(),
    ],
)
def test_the_key_is_redacted_however_it_is_written(echoed: str) -> None:
    text = f"Authorization: Bearer {echoed}; and again {echoed}{echoed}"
    assert ApiKey(SECRET).redact(text) == "Authorization: Bearer ***; and again ******"


@pytest.mark.parametrize("text", ["", "nothing of the kind", SECRET[:-1], SECRET[1:], "***"])
def test_what_is_not_the_key_stays(text: str) -> None:
    assert ApiKey(SECRET).redact(text) == text


def test_a_short_key_is_redacted_only_where_it_stands_alone() -> None:
    key = ApiKey("test")
    assert key.redact("Bearer test") == "Bearer ***"
    assert key.redact('"test", (test) test.') == '"***", (***) ***.'
    assert key.redact("the latest contest tests testing test_1") == (
        "the latest contest tests testing test_1"
    )


def test_a_text_that_was_cut_inside_the_key_is_redacted_too() -> None:
    key = ApiKey(SECRET)
    for end in range(4, len(SECRET)):
        assert key.redact_cut(f"Bearer {SECRET[:end]}") == "Bearer ***"
    assert key.redact_cut(f"Bearer {SECRET}") == "Bearer ***"
    assert key.redact_cut(f"{SECRET[:9]} and more") == f"{SECRET[:9]} and more"


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40), st.text()
)
def test_no_long_key_outlives_a_redaction(value: str, around: str) -> None:
    key = ApiKey(value)
    redacted = key.redact(f"{around}{value}{around}")
    assert value not in redacted.replace("***", "\n")
    assert len(redacted) < len(value) + 2 * len(around)


def test_a_megabyte_of_near_misses_is_redacted_in_no_time() -> None:
    text = (SECRET[:-1] + "\\" * 50) * 15_000
    assert ApiKey(SECRET).redact(text) == text
