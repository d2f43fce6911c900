"""Entries to test with: plain ones, and any that hypothesis can think of."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from personasync.model.answer import KeptAnswer
from personasync.model.persona import PersonaRequest
from personasync.state.entry import Entry, Header, Origin, Status

brief = settings(max_examples=50, deadline=None)
"""For tests whose examples are large; never a matter of how busy the machine is."""

API = "https://api.example"
HEADER = Header("0c9f", API)

# Two lone surrogates in the right order become one character in JSON, as they should.
texts = st.text(st.characters(exclude_characters="\ud800")).filter(
    lambda text: text == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
optional = st.none() | texts
numbers = st.none() | st.integers(0, 10**20) | st.floats(0, allow_nan=False, allow_infinity=False)
nasty = st.sampled_from(
    [
        "\ud83d",
        "\udfff!",
        "\x00\x1b[31m\x7f\x9b",
        "你好，世界",
        "สวัสดี",
        "😀",
        "\u2028\u2029",
        '"\\,}{',
    ],
)
words = (texts | nasty).filter(bool)

requests = st.builds(
    PersonaRequest,
    task_id=words,
    audio_id=words,
    name=words,
    description=words,
    vocal_start=numbers,
    vocal_end=numbers,
    style=optional,
)
extras = st.none() | st.dictionaries(
    st.sampled_from(["future", "x-note", "你"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.lists(texts),
    min_size=1,
)


def entries(
    audio_ids: st.SearchStrategy[str] = words, persona_ids: st.SearchStrategy[str] = words
) -> st.SearchStrategy[Entry]:
    """Any entry that makes sense: only what is created must have an ID, only it and what is
    forgotten may."""

    def with_status(status: Status) -> st.SearchStrategy[Entry]:
        ids: st.SearchStrategy[str | None] = st.none()
        if status is Status.CREATED:
            ids = persona_ids
        elif status is Status.FORGOTTEN:
            ids = st.none() | persona_ids
        return st.builds(
            Entry,
            audio_id=audio_ids,
            key=words,
            status=st.just(status),
            persona_id=ids,
            origin=st.none() | st.sampled_from(Origin),
            at=optional,
            run=optional,
            request=st.none() | requests,
            code=st.none() | st.integers(),
            message=optional,
            answer=st.none() | words.map(KeptAnswer.of_text),
            after_pending=st.none() | st.booleans(),
            extra=extras,
        )

    return st.sampled_from(Status).flatmap(with_status)


def kept(body: str) -> KeptAnswer:
    """A text as the answer that is kept with an entry."""
    return KeptAnswer.of_text(body)


def request(number: int = 1, **changes: object) -> PersonaRequest:
    """A plain request."""
    values: dict[str, object] = {
        "task_id": f"task-{number}",
        "audio_id": f"audio-{number}",
        "name": f"Persona {number}",
        "description": "A warm and steady voice over brushes and upright bass",
        **changes,
    }
    return PersonaRequest(**values)  # type: ignore[arg-type]


def entry(number: int = 1, status: Status = Status.PENDING, **changes: object) -> Entry:
    """A plain entry about audio ``audio-NUMBER``."""
    values: dict[str, object] = {
        "audio_id": f"audio-{number}",
        "key": f"p-{number}",
        "status": status,
        "at": "2026-11-22T10:00:00Z",
        "run": "r1",
        "request": request(number),
        **changes,
    }
    return Entry(**values)  # type: ignore[arg-type]


def created(number: int = 1, persona_id: str | None = None, **changes: object) -> Entry:
    """A plain entry with an ID, ``id-NUMBER`` unless another is given."""
    changes = {"origin": Origin.APPLY, **changes}
    return entry(number, Status.CREATED, persona_id=persona_id or f"id-{number}", **changes)
