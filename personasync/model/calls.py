"""What became of a call, as a value: for a thread that must hand on whatever happens in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def tried(call: Callable[[], _T]) -> tuple[_T | None, BaseException | None]:
    """Make a call; return what it returned, and what it raised.

    Even ``SystemExit`` is kept: an error that ends a thread is told to nobody,
    and whoever waits for the thread would wait for ever.
    """
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - handed on
        return None, error
