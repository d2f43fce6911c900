"""Workflow commands, read back as GitHub's runner reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personasync.render.safe import workflow_command

texts = st.text(max_size=30) | st.sampled_from(
    ["::error::", "a,b=c", "%0A", "%25", "\r\n::warning::x", "file=x", "a:b", "]"]
)


def read_back(line: str) -> tuple[str, dict[str, str], str]:
    """Read a command as the runner does: split at its signs first, unescape what is between."""
    assert "\n" not in line
    assert "\r" not in line
    assert line.startswith("::")
    head, _, data = line[2:].partition("::")
    name, _, given_properties = head.partition(" ")
    pairs = (each.partition("=") for each in given_properties.split(",") if each)
    properties = {
        key: unescape(value, {"%2C": ",", "%3A": ":", "%0A": "\n", "%0D": "\r", "%25": "%"})
        for key, _, value in pairs
    }
    return name, properties, unescape(data, {"%0A": "\n", "%0D": "\r", "%25": "%"})


def unescape(text: str, signs: dict[str, str]) -> str:
    for escaped, sign in signs.items():
        text = text.replace(escaped, sign)
    return text


@given(properties=st.dictionaries(st.sampled_from(["file", "line", "title"]), texts), message=texts)
def test_whatever_the_texts_hold_the_runner_reads_them_as_they_are(
    properties: dict[str, str], message: str
) -> None:
    command = workflow_command("warning", properties, message.split("\n"))
    assert read_back(command) == ("warning", properties, message)


@pytest.mark.parametrize(
    ("properties", "message", "line"),
    [
        ({}, ["nothing to do"], "::notice::nothing to do"),
        ({"file": "a,b.yaml", "line": "3"}, ["100%"], "::notice file=a%2Cb.yaml,line=3::100%25"),
        ({"title": "a: b"}, ["one", "two"], "::notice title=a%3A b::one%0Atwo"),
    ],
)
def test_what_it_looks_like(properties: dict[str, str], message: list[str], line: str) -> None:
    assert workflow_command("notice", properties, message) == line
