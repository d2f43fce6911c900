"""A key that was pasted with something around it is told apart, and shown nowhere."""

import pytest

from personasync.api.key import ApiKey, read_api_key
from personasync.model.errors import ConfigurationError


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"abcdef123456"', "leave out the quotes around it"),
        ("'abcdef123456'", "leave out the quotes around it"),
        ("\u201cabcdef123456\u201d", "leave out the quotes around it"),
        ("Bearer abcdef123456", "such as `Bearer`"),
        ("bearer:abcdef123456", "such as `Bearer`"),
        ("Authorization: Bearer abcdef123456", "such as `Bearer`"),
        ("PERSONASYNC_API_KEY=abcdef123456", "without `PERSONASYNC_API_KEY=`"),
        ("export KEY=abcdef123456", "without `PERSONASYNC_API_KEY=`"),
    ],
)
def test_what_is_not_part_of_a_key(value: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_api_key({"PERSONASYNC_API_KEY": value})
    assert caught.value.message == ("PERSONASYNC_API_KEY holds something that cannot be an API key")
    assert said in str(caught.value.hint)
    assert "abcdef" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize("value", ["bearerabcdef", "a'b", "Bearerful"])
def test_what_may_be_a_key_is_one(value: str) -> None:
    key = read_api_key({"PERSONASYNC_API_KEY": value})
    assert key is not None
    assert key.value == value


@pytest.mark.parametrize(("value", "end"), [("a" * 12 + "c3d4", "c3d4"), ("a" * 15, None)])
def test_only_a_long_key_tells_its_end(value: str, end: str | None) -> None:
    assert ApiKey(value).last_four == end
