"""An answer as it is kept with an entry, and the IDs that can be read in one nobody could read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

KEPT_BYTES: Final = 4096
"""Bytes of an answer that are kept; of one that shows an ID, those around it."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What came back, as far as it is kept.

    ``body`` is what came, as text, or base64 where it is no text (a
    compression that cannot be undone stays as it was): at most 4 KiB, those
    around an ID where it shows one. ``status`` is HTTP's, ``None`` where none
    could be read; ``headers`` are those that tell something. ``persona_ids``
    are the IDs that can be read in it, whole; ``cut_id`` is one whose end did
    not arrive, so it may lack characters. ``earlier`` are answers of the same
    audio that showed other IDs.
    """

    body: str
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_base64: bool = False
    persona_ids: tuple[str, ...] = ()
    cut_id: str | None = None
    earlier: tuple[KeptAnswer, ...] = ()

    @classmethod
    def of_text(cls, body: str) -> KeptAnswer:
        """Return a text as a kept answer, with the IDs that it shows."""
        from personasync.model.finding import find_ids  # few commands meet a kept answer

        found = find_ids(body.encode("utf-8", "replace"))
        return cls(body, persona_ids=found.whole, cut_id=found.cut)

    @property
    def shown_ids(self) -> tuple[str, ...]:
        """Every ID that can be read in this answer and the earlier ones, each once.

        These are what an account offers to import. One that was cut off counts
        only where no whole one begins like it.
        """
        answers = (*self.earlier, self)
        whole = [persona_id for answer in answers for persona_id in answer.persona_ids]
        cut = [answer.cut_id for answer in answers if answer.cut_id]
        cut = [part for part in cut if not any(known.startswith(part) for known in whole)]
        return tuple(dict.fromkeys([*whole, *cut]))

    def ids_beside(self, persona_id: str) -> tuple[str, ...]:
        """Return the IDs that came with another one, which a person must tell apart."""
        return tuple(found for found in self.shown_ids if not persona_id.startswith(found))

    def raw(self) -> bytes:
        """Return the body as the bytes that came."""
        if not self.is_base64:
            return self.body.encode("utf-8", "replace")
        import base64

        try:
            return base64.b64decode(self.body)
        except ValueError:  # a state is edited by hand at times
            return b""


def more_telling(before: KeptAnswer | None, answer: KeptAnswer | None) -> KeptAnswer | None:
    """Choose what to keep of two answers about one audio: the later one, but no ID is given up.

    An answer that shows an ID, or speaks of one, never gives way to one that
    does not; where both show one, and not the same, both are kept.
    """
    if before is None or answer is None:
        return answer or before
    new = set(answer.shown_ids) - set(before.shown_ids)
    if before.shown_ids:
        return _with_earlier(answer, before) if new else before
    speaks = b"persona" in before.raw().lower() and b"persona" not in answer.raw().lower()
    return before if speaks and not new else answer


def all_shown_ids(answers: Iterable[KeptAnswer | None]) -> tuple[str, ...]:
    """Return every ID that some answers show, each once."""
    return tuple(dict.fromkeys(shown for answer in answers if answer for shown in answer.shown_ids))


def _with_earlier(answer: KeptAnswer, before: KeptAnswer) -> KeptAnswer:
    earlier = (*before.earlier, replace(before, earlier=()), *answer.earlier)
    return replace(answer, earlier=earlier)
