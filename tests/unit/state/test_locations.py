"""Where a state may be kept, and what is refused before anything is asked of anybody."""

from __future__ import annotations

import pytest

from personasync.model.errors import UsageError
from personasync.state.locations import check_http, has_secret, shared_location
from personasync.state.open import local_path


@pytest.mark.parametrize(
    ("text", "place", "prefix"),
    [
        ("s3://voices/team", "voices", "team"),
        ("s3://voices/team/states/", "voices", "team/states"),
        ("s3://voices.example/a?region=eu-central-1", "voices.example", "a"),
        ("s3://v/a?endpoint=https://minio.example.com:9000", "v", "a"),
        ("s3://v/a?endpoint=http://127.0.0.1:9000&region=x", "v", "a"),
        ("gs://voices/a/b", "voices", "a/b"),
        ("az://voices/a?account=ann", "voices", "a"),
    ],
)
def test_a_place_in_an_object_store(text: str, place: str, prefix: str) -> None:
    location = shared_location(text)
    assert (location.place, location.prefix, location.text) == (place, prefix, text)
    assert local_path(text) is None


@pytest.mark.parametrize(
    ("text", "shown", "user", "password"),
    [
        ("postgresql://db.example/voices", None, None, None),
        ("postgresql://ann@db.example:5433/voices", None, "ann", None),
        ("postgresql://ann@a,b:5433/voices?target_session_attrs=read-write", None, "ann", None),
        (
            "postgresql://ann:s3cret@db/voices?state=eu&schema=tools",
            "postgresql://ann@db/voices?state=eu&schema=tools",
            "ann",
            "s3cret",
        ),
        ("postgresql://db/v?password=s%26t", "postgresql://db/v", None, "s&t"),
        ("postgresql:///v?host=/run/postgresql", None, None, None),
    ],
)
def test_a_place_in_postgresql(
    text: str, shown: str | None, user: str | None, password: str | None
) -> None:
    location = shared_location(text)
    assert location.text == (shown or text)
    assert (location.user, location.password) == (user, password)
    assert has_secret(text) == (password is not None)
    assert password is None or password not in repr(location)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s4://voices/a", "did you mean s3://?"),
        ("gcs://voices/a", "did you mean gs://?"),
        ("azure://voices/a", "did you mean az://?"),
        ("postgres://h/d", "did you mean postgresql://?"),
        ("ftp://voices/a", "ftp:// is no place for a state"),
        ("file:///tmp/x", "file:// is no place for a state"),
        ("https://voices/a", "https:// is no place for a state"),
        ("S3://voices/a", "did you mean s3://?"),
        ("s3:/voices/a", "begins with its scheme and ://"),
        ("s3:voices/a", "begins with its scheme and ://"),
        ("s3://", "names no bucket"),
        ("s3:///a", "names no bucket"),
        ("s3://voices", "has no prefix"),
        ("s3://voices/", "has no prefix"),
        ("s3://voices/a//b", "no object's name should have"),
        ("s3://voices/./b", "no object's name should have"),
        ("s3://voices/a/..", "no object's name should have"),
        ("s3://voices/a%00", "no object's name should have"),
        ("s3://voices/a\x1b[31m", "no object's name should have"),
        ("s3://k:s@voices/a", "must not carry credentials"),
        ("s3://voices:9000/a", "must not carry credentials or a port"),
        ("s3://voices/a?regoin=x", "s3:// knows no parameter 'regoin'"),
        ("s3://voices/a?account=x", "s3:// knows no parameter 'account'"),
        ("gs://voices/a?region=x", "gs:// knows no parameter 'region'"),
        ("s3://voices/a?region=", "gives region no value"),
        ("s3://voices/a?region=x&region=y", "gives region twice"),
        ("s3://voices/a?region", "is not a URL"),
        ("s3://voices/a?secret_access_key=x", "must not carry a secret"),
        ("s3://voices/a#x", "a part behind '#'"),
        ("s3://voices/a?endpoint=http://minio.example.com", "refusing plain http"),
        ("s3://voices/a?endpoint=minio:9000", "must begin with https://"),
        ("s3://voices/a?endpoint=https://u:p@minio", "must not carry credentials"),
        ("postgresql:///voices", "names no host"),
        ("postgresql://h", "names no database"),
        ("postgresql://h/", "names no database"),
        ("postgresql://h/a/b", "names no database"),
        ("postgresql://h/d?sslmdoe=require", "knows no parameter 'sslmdoe'"),
        ("postgresql://h/d?sslpassword=x", "must not carry a secret"),
    ],
)
def test_what_is_no_place_for_a_state(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        local_path(text)
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("s3://voices/a?regoin=x", "region"),
        ("s3://voices/a?endpiont=x", "endpoint"),
        ("az://voices/a?acount=x", "account"),
        ("postgresql://h/d?sslmdoe=require", "sslmode"),
        ("postgresql://h/d?shcema=x", "schema"),
    ],
)
def test_a_misspelt_parameter_is_guessed(text: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        local_path(text)
    assert str(caught.value.hint) == f"did you mean {meant}?"


@pytest.mark.parametrize("text", ["a.jsonl", "./s3/x", "C:\\states\\a", "C:/a", "a:b", "x y"])
def test_a_path_is_a_path(text: str) -> None:
    assert str(local_path(text)) == str(local_path(text))
    assert local_path(text) is not None


@pytest.mark.parametrize("secret", ["s3cret", "p@ss:w/rd"])
def test_no_message_shows_a_password(secret: str) -> None:
    with pytest.raises(UsageError) as caught:
        shared_location(f"postgresql://ann:{secret}@/x?sslmdoe=1")
    assert secret not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("url", ["http://localhost:1", "http://[::1]:9000", "https://any.where"])
def test_http_is_for_this_machine(url: str) -> None:
    check_http(url, "the endpoint")
