"""What the manifest's JSON Schema refuses, in the words of people who write manifests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from unicodedata import normalize

from personasync.manifest.ids import character_name, id_trouble
from personasync.manifest.layout import is_odd_key, layout_slip
from personasync.manifest.meaning import (
    ID_FIELDS,
    NUMBERS,
    RATE_HINT,
    better_than_quotes,
    is_clock,
    may_be,
    meant_number,
)
from personasync.manifest.reader import Document
from personasync.manifest.schemas import Violation, load_schema
from personasync.manifest.texts import IF_TEXT, LONGEST_ADVICE, in_quotes, text_troubles
from personasync.manifest.values import BROKEN, Map, Odd, Oddity, Value, kind_of
from personasync.model.diagnostics import Diagnostic, Place, Severity
from personasync.model.spelling import cut, joined, quoted
from personasync.model.steps import NextStep, Option

Path = tuple[str | int, ...]

_GUESSES: Final = 100  # how many unknown fields of one mapping are compared with the known ones
_QUOTE: Final = "quote it"
QUOTE_LINE: Final = "quote the whole text; or put a space after # if it is a comment"
"""Advice that ``with_quoted`` completes, as it does with those to quote a value."""

_ALIASES: Final = {
    "id": "audioId",
    "track": "audioId",
    "trackid": "audioId",
    "clipid": "audioId",
    "task": "taskId",
    "audio": "audioId",
    "persona": "personaId",
    "title": "name",
    "desc": "description",
    "start": "vocalStart",
    "end": "vocalEnd",
    "genre": "style",
    "tags": "style",
    "workers": "parallelism",
    "concurrency": "parallelism",
    "default": "defaults",
    "setting": "settings",
}


_OF_THE_TRACK: Final = frozenset(
    (
        *("prompt", "lyrics", "instrumental", "model", "custommode", "negativetags", "vocalgender"),
        *("gender", "callbackurl", "styleweight", "audioweight", "weirdnessconstraint"),
        *("continueat", "uploadurl", "duration"),
    )
)
"""Fields of the API, or of music services' pages, that make a track; folded as ``_folded`` does."""


def dotted(path: Path) -> str:
    """Return how messages name a value: ``personas.neon-siren.vocalEnd``."""
    return ".".join(str(part) for part in path) or "the manifest"


def explain(document: Document, violations: Iterable[Violation]) -> Iterator[Diagnostic]:
    """Yield what is to be said about violations of the manifest's schema, each thing once."""
    told: set[tuple[Path, str]] = set()
    for violation in violations:
        if violation.value is BROKEN:
            continue
        once = (violation.path, violation.keyword)
        if once in told:
            continue
        if violation.path != ("personas",) or violation.keyword != "pattern":  # that is of each key
            told.add(once)
        yield from _EXPLANATIONS[violation.keyword](document, violation)


def wrong_altogether(document: Document) -> Diagnostic | None:
    """Return the one thing to say of a file where each key would be a problem of its own."""
    root = document.root
    if not isinstance(root, Map):
        return None
    if any(map(is_odd_key, _keys(root))):
        slip = layout_slip(document.file, document.data)
        if slip is not None:
            return slip
    if (
        root.get("version") == 1
        or not root
        or any(_like_a_manifest(*pair) for pair in root.items())
    ):
        return None
    what = ", ".join(quoted(key, 20) for key in list(root)[:3])
    return _error(
        "not-a-manifest",
        f"this is no manifest: it has {what}, and no personas",
        Place(document.file, 0, 0),
        "a manifest begins with version: 1 and personas:; keep other YAML files in another folder",
    )


def _keys(root: Map) -> Iterator[str]:
    """Yield the keys of the root, of each persona, and their fields."""
    yield from root
    personas = root.get("personas")
    if isinstance(personas, Map):
        for key, persona in personas.items():
            yield key
            if isinstance(persona, Map):
                yield from persona


def _like_a_manifest(key: str, value: Value) -> bool:
    if meant_field(key, ()) in ("personas", "defaults", "settings"):
        return True
    if isinstance(value, Map):
        return any(_FOLDED_IDS & {_folded(name)} for name in value)
    return bool(_FOLDED_IDS & {_folded(key)})


_FOLDED_IDS: Final = frozenset(("taskid", "audioid", "personaid"))


def known_fields(path: Path) -> list[str]:
    """Return the names of the fields that the mapping at ``path`` may have."""
    schema = load_schema("manifest")
    if path:
        name = "persona" if len(path) == 2 else str(path[0])
        schema = schema["definitions"][name]
    return list(schema["properties"])


def meant_field(name: str, path: Path) -> str | None:
    """Return the field that a misspelt name most likely means: ``task_id`` is ``taskId``."""
    known = known_fields(path)
    folded = {_folded(field): field for field in known}
    plain = _folded(name)
    if plain in folded:
        return folded[plain]
    if _ALIASES.get(plain) in known:
        return _ALIASES[plain]
    from difflib import get_close_matches  # only a slip of the finger needs it

    close = get_close_matches(plain[:64], folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def _folded(name: str) -> str:
    return re.sub("[^a-z0-9]", "", normalize("NFKC", name).lower())


def _error(code: str, message: str, place: Place, hint: NextStep | str | None = None) -> Diagnostic:
    return Diagnostic(Severity.ERROR, code, message, place, hint)


def _mapping_at(document: Document, path: Path) -> Map:
    value: Any = document.root
    for part in path:
        value = value[part]
    assert isinstance(value, Map)
    return value


def _place(document: Document, path: Path) -> Place:
    if not path:
        return document.root_place()
    return document.value_place(_mapping_at(document, path[:-1]), str(path[-1]))


def _name_place(document: Document, path: Path) -> Place:
    """Return where the mapping at ``path`` has its key: what a missing field is missing from."""
    if not path:
        place = document.root_place()
        return Place(place.file, place.line, place.column)
    return document.key_place(_mapping_at(document, path[:-1]), str(path[-1]))


def _missing(document: Document, violation: Violation) -> Iterator[Diagnostic]:
    value: Mapping[str, Value] = violation.value
    path = violation.path
    unknown = [name for name in value if name not in known_fields(path)]
    meant = {meant_field(name, path) for name in unknown[:_GUESSES]}
    nested = [part for part in value.values() if not path and isinstance(part, Map)]
    elsewhere = {name for part in nested for name in part} & {"personas"}  # told of there
    meant |= elsewhere
    missing = [name for name in violation.expected if name not in value and name not in meant]
    if not missing:
        return
    hint = "a persona has a taskId, an audioId, a name and a description"
    if missing == ["version"]:
        hint = "add the line version: 1 at the top"
    elif "personas" in missing:
        hint = "add personas:, and below it, indented, an entry for each persona"
    elif "audioId" in missing and "personaId" in value:
        hint = (
            "personaId is the ID of a persona that was made; audioId names the track it is made of"
        )
    yield _error(
        "missing-field",
        f"{dotted(path)} has no {joined(missing)}",
        _name_place(document, path),
        hint,
    )


def _unknown(document: Document, violation: Violation) -> Iterator[Diagnostic]:
    path = violation.path
    mapping = _mapping_at(document, path)
    known = known_fields(path)
    if not path and "personas" in mapping and mapping["personas"] is None:
        yield _error(
            "empty-value",
            "personas is empty",
            _place(document, ("personas",)),
            "indent what belongs below it: each key by 2 spaces, its fields by 4",
        )
        return  # each of the unknown fields would be that same slip
    of_persona = known_fields(("personas", "")) if not path else []
    told = False
    for index, (name, value) in enumerate(mapping.items()):
        again, told = told, name in of_persona
        if name in known or name in document.refused or (again and told):
            continue
        if len(path) == 1 and name in known_fields(()):
            yield _indented_part(document, path, index, name)
            return  # what comes after it belongs to it
        if not name.strip():
            yield _error(
                "missing-key",
                f"a field of {dotted(path)} has no name",
                document.nth_key_place(mapping, index),
                "write the field's name before the colon",
            )
            continue
        inside = " of a persona" if len(path) == 2 else f" of {path[0]}" if path else ""
        hint = _elsewhere(name, value, path)
        meant = meant_field(name, path) if index < _GUESSES else None
        if len(path) == 2 and _folded(name) in _OF_THE_TRACK:
            hint = "remove the line: that was for the making of the track, not for a persona of it"
        if hint is None and meant is not None:
            hint = f"did you mean {meant}?"
            if meant in mapping:
                hint = f"{meant} is given too; remove one of the two"
        if hint is None and value is None and " " in name.strip():
            hint = "write # before the line if it is a comment"
        yield _error(
            "unknown-field",
            f"{dotted((*path, cut(name)))} is not a field{inside or ' of a manifest'}",
            document.nth_key_place(mapping, index),
            hint or f"the fields are {', '.join(known)}",
        )


def _indented_part(document: Document, path: Path, index: int, name: str) -> Diagnostic:
    return _error(
        "bad-indentation",
        f"{name} is indented as the fields of {path[0]} are, and belongs to the manifest itself",
        document.nth_key_place(_mapping_at(document, path), index),
        "remove its indentation",
    )


def _elsewhere(name: str, value: Value, path: Path) -> str | None:
    """Return where a field belongs that stands in the wrong mapping."""
    if not path and isinstance(value, Map) and {"taskId", "audioId", "name"} & value.keys():
        return f"if {cut(name)} is a persona, indent it below personas:"
    if (
        len(path) == 2
        and (value is None or isinstance(value, Map))
        and meant_field(name, path) is None
    ):
        return f"if {cut(name)} is a persona, indent it as {path[1]} is"
    homes = {"settings": known_fields(("settings",)), "defaults": known_fields(("defaults",))}
    if path[:1] == ("personas",) and name in homes["settings"]:
        return f"{name} belongs under settings, for the whole manifest"
    if not path or path[0] in homes:
        for home, fields in homes.items():
            if name in fields and path != (home,):
                also = " or, indented, to a persona" if home == "defaults" else ""
                return f"{name} belongs under {home}{also}"
        if name in known_fields(("personas", "")):
            return (
                f"{name} belongs to a persona: indent it, and the fields below it, "
                "below personas: and the persona's key"
            )
    return None


def _wrong_type(document: Document, violation: Violation) -> Iterator[Diagnostic]:
    path, value = violation.path, violation.value
    place = _place(document, path)
    name = dotted(path)
    expects_scalar = "object" not in violation.expected
    if isinstance(value, (dict, list)) and path and not place.end_line and expects_scalar:
        place = document.key_place(_mapping_at(document, path[:-1]), str(path[-1]))
    if not expects_scalar:
        holder = _mapping_at(document, path[:-1]) if path else {}
        if len(path) == 2 and _is_field_among_personas(path, value, holder):
            first = next(iter(holder))
            if first == path[-1]:
                yield _key_of_persona_missing(document, first)
            elif first not in known_fields(path) and None not in holder.values():
                yield _field_among_personas(path, place)
            return
        yield _not_a_mapping(path, value, place)
    elif value is None and _is_empty(place, document, path):
        yield _error("empty-value", f"{name} is empty", place, _empty_hint(path))
    elif violation.expected == "string":
        yield _not_text(path, value, place)
    else:
        yield _not_a_number(path, value, place)


def _is_field_among_personas(path: Path, value: Value, personas: Mapping[str, Value]) -> bool:
    """Whether what stands as a persona is a field that was not indented below one."""
    is_scalar = value is not None and not isinstance(value, (dict, list))
    return is_scalar and path[-1] in known_fields(("personas", "")) and len(personas) > 1


def _key_of_persona_missing(document: Document, field: str) -> Diagnostic:
    return _error(
        "missing-key",
        f"a persona begins here, and its key is missing: {field} is a field",
        document.key_place(_mapping_at(document, ("personas",)), field),
        "write its key on a line above, such as neon-siren:, and indent its fields below it",
    )


def _field_among_personas(path: Path, place: Place) -> Diagnostic:
    return _error(
        "bad-indentation",
        f"{path[-1]} stands where a persona's key belongs",
        place,
        f"indent {path[-1]} by 4 spaces, as the other fields of the persona above it",
    )


def _is_empty(place: Place, document: Document, path: Path) -> bool:
    return place == document.key_place(_mapping_at(document, path[:-1]), str(path[-1]))


def _empty_hint(path: Path) -> str:
    required = load_schema("manifest")["definitions"]["persona"]["required"]
    if len(path) == 3 and path[-1] in required:
        return "write its value after the colon"
    return "write its value after the colon, or remove the line"


def _not_a_mapping(path: Path, value: Value, place: Place) -> Diagnostic:
    name = dotted(path)
    if not path:
        hint = "begin with version: 1, and write each persona below personas:"
        if isinstance(value, list):
            hint = "write keys without dashes: version: 1, then personas:"
        return _error("wrong-type", f"the manifest is {kind_of(value)}, not a mapping", place, hint)
    if value is None:
        hint = "write its fields below it, indented by 4 spaces: taskId, audioId, name, description"
        if len(path) == 1:
            hint = "write its fields below it, indented, or remove it"
        return _error("empty-value", f"{name} is empty", place, hint)
    hint = "write its fields below it, indented, one on a line: field: value"
    if isinstance(value, list):
        hint = "write each entry as key: instead of a dash"
        if path != ("personas",) and all(isinstance(item, Map) for item in value):
            hint = "remove the dash and the space after it before each of its fields"
    return _error("wrong-type", f"{name} must be a mapping, not {_described(value)}", place, hint)


def _described(value: Value) -> str:
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, Odd):
        return f"{kind_of(value)} ({cut(value.text)})"
    if isinstance(value, bool) or value is None or isinstance(value, (dict, list)):
        return kind_of(value)
    return f"the number {cut(str(value))}"


def _not_text(path: Path, value: Value, place: Place) -> Diagnostic:
    name = dotted(path)
    if isinstance(value, (dict, list)):
        hint = IF_TEXT if not isinstance(value, Map) else None
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            hint = f"write {in_quotes(', '.join(map(str, value)))}: it is one text"
        if isinstance(value, Map):
            hint = "write the text on the same line, after the colon; quote it if it holds { or :"
            if not any(value.values()):
                hint = f"write {in_quotes(', '.join(value))} without braces" if value else None
        return _error("wrong-type", f"{name} must be text, not {kind_of(value)}", place, hint)
    message = f"{name} must be text, but YAML reads this as {kind_of(value)}"
    if isinstance(value, Odd) and value.oddity is Oddity.YAML_1_2:
        message = f"{name} must be text, but some YAML readers take this for a number"
    return _error("not-text", message, place, RATE_HINT if path[-1] == "rateLimit" else _QUOTE)


_CUT_OFF: Final = re.compile(r":[ \t]+(#[^\s#].*?)\s*$")


def with_quoted(diagnostic: Diagnostic) -> Diagnostic:
    """Return the diagnostic, its advice to quote something completed from its source line."""
    place, source = diagnostic.place, diagnostic.source
    if place is None or source is None or place.end_line != place.line:
        return diagnostic
    if diagnostic.code == "empty-value" and (
        cut_off := _CUT_OFF.match(source, place.end_column - 1)
    ):
        field = source[place.column - 1 : place.end_column - 1]
        hint = better_than_quotes(field, cut_off[1])
        hint = hint or f"quote it, since # begins a comment: {in_quotes(cut_off[1])}"
        return replace(diagnostic, hint=hint)
    if diagnostic.hint in (_QUOTE, IF_TEXT):
        text = source[place.column - 1 : place.end_column - 1]
        if source[: place.column - 1].strip() == "<<:":
            return replace(diagnostic, hint="remove the line, or write above what it stands for")
        if source[place.end_column - 1 :].lstrip()[:1] == ":":
            return replace(diagnostic, hint=f"write {text.strip('*&!')}")
        better = better_than_quotes(source[: place.column - 1].strip().rstrip(":"), text)
        return replace(diagnostic, hint=better or f"{diagnostic.hint}: {in_quotes(text)}")
    if diagnostic.hint == QUOTE_LINE:
        text = source[place.column - 1 :].rstrip()
        if cut(text, LONGEST_ADVICE) == text:
            remedy = "put a space after # if it is a comment"
            if re.match(r"\s*#\s", source[place.end_column - 1 :]):
                remedy = "put the comment on a line of its own"
            hint = f"quote it: {in_quotes(text)}; or {remedy}"
            return replace(diagnostic, hint=hint)
    return diagnostic


def _not_a_number(path: Path, value: Value, place: Place) -> Diagnostic:
    wanted = NUMBERS.get(str(path[-1]), "a number")
    name = dotted(path)
    if isinstance(value, Odd):
        return _odd_number(name, wanted, value, place)
    hint = None
    if isinstance(value, str) and (meant := meant_number(value, str(path[-1]))) is not None:
        hint = f"write {meant}"
        if normalize("NFKC", value).strip() == meant:
            hint += " without quotes" if value.isascii() else ", in ordinary digits"
        elif is_clock(value):
            hint += " if you mean minutes and seconds: the API counts seconds"
        elif "vocal" in str(path[-1]):
            hint += ": the API counts seconds"
    return _error("not-a-number", f"{name} must be {wanted}, not {_described(value)}", place, hint)


def _odd_number(name: str, wanted: str, value: Odd, place: Place) -> Diagnostic:
    text, field = cut(value.text), name.rpartition(".")[2]
    number = value.meaning
    if value.oddity is Oddity.TOO_LARGE or (value.oddity is Oddity.YAML_1_2 and number is None):
        return _error("odd-number", f"{name} is too large a number", place, f"write {wanted}")
    if number is None:
        return _error("odd-number", f"{name} must be {wanted}, not {value.oddity}", place)
    others, hint = "text", f"write {number:g}" if may_be(field, float(number)) else None
    if value.oddity is Oddity.OCTAL:
        others = text.replace("_", "").lstrip("+-0") or "0"
        hint = f"write {others}" if may_be(field, float(others)) else hint
    elif value.oddity is Oddity.BASE_60 and field.startswith("vocal") and hint is not None:
        hint += " if you mean minutes and seconds: the API counts seconds"
    message = f"{name}: some YAML readers take {text} for {number:g}, others for {others}"
    return _error("odd-number", message, place, hint)


def _pattern(document: Document, violation: Violation) -> Iterator[Diagnostic]:
    path, value = violation.path, violation.value
    if path == ("personas",):
        if value not in document.refused:
            yield _bad_key(document, path, value)
        return
    place = _place(document, path)
    name, field = dotted(path), str(path[-1])
    if not value.strip():
        state = "is empty" if not value else "is blank"
        yield _error("empty-value", f"{name} {state}", place, _empty_hint(path))
    elif field == "rateLimit":
        yield _bad_rate(name, value, place)
    elif field in ID_FIELDS:
        trouble = id_trouble(field, value)
        assert trouble is not None  # whatever the pattern refuses, and more
        yield _error(trouble.code, f"{name} {trouble.message}", place, trouble.hint)
    else:
        wrong = [t for t in text_troubles(field, value) if t.severity is Severity.ERROR]
        for trouble in wrong:
            yield _error(trouble.code, f"{name} {trouble.message}", place, trouble.hint)
        if not wrong:
            hint = "write something that people can see"
            yield _error("empty-value", f"{name} holds unseen characters only", place, hint)


def _bad_key(document: Document, path: Path, key: str) -> Diagnostic:
    mapping = _mapping_at(document, path)
    place = document.key_place(mapping, key)
    if not key:
        return _error("bad-key", "a persona's key is empty", place, "name it, such as neon-siren")
    if len(key) > 64:
        return _error(
            "bad-key",
            f"the key {quoted(key)} is longer than 64 characters",
            place,
            "choose a shorter key; the persona's name can be as long as you like",
        )
    plain = normalize("NFKD", key).encode("ascii", "ignore").decode()
    readable = key.translate({0xA0: " ", 0x202F: " ", 0x3000: " "}).isprintable()
    slug = re.sub("[^A-Za-z0-9._-]+", "-", plain).strip("._-") if readable else ""
    hint = f"write {slug}; " if slug and slug not in mapping else ""
    wrong = next((c for c in key if not re.match("[A-Za-z0-9._-]", c)), None)
    reason = (
        f"cannot begin with {key[0]}" if wrong is None else f"cannot hold {character_name(wrong)}"
    )
    return _error(
        "bad-key",
        f"the key {quoted(key)} {reason}",
        place,
        hint + "a key has letters, digits, '.', '_' and '-', and begins with a letter or digit",
    )


def _bad_rate(name: str, value: str, place: Place) -> Diagnostic:
    hint: NextStep | str = RATE_HINT
    if value.strip() == "none":
        hint = NextStep(
            "a manifest cannot lift the limit; who runs an apply can: ",
            Option("rate-limit", "none"),
        )
    return _error("bad-rate", f"{name} is no rate: {quoted(value)}", place, hint)


def _range(document: Document, violation: Violation) -> Iterator[Diagnostic]:
    path = violation.path
    wanted = NUMBERS[str(path[-1])]
    if violation.keyword == "minimum" and wanted == "a number of seconds":
        wanted = "0 or more seconds"
    yield _error(
        "out-of-range",
        f"{dotted(path)} must be {wanted}, not {cut(str(violation.value))}",
        _place(document, path),
    )


def _version(document: Document, violation: Violation) -> Iterator[Diagnostic]:
    value = violation.value
    message = f"version must be 1, not {_described(value)}"
    if value is None:
        message = "version is empty"
    hint = "write version: 1 without quotes" if value == "1" else "write version: 1"
    yield _error("wrong-version", message, _place(document, violation.path), hint)


_EXPLANATIONS: Final[dict[str, Callable[[Document, Violation], Iterator[Diagnostic]]]] = {
    "required": _missing,
    "additionalProperties": _unknown,
    "type": _wrong_type,
    "pattern": _pattern,
    "minimum": _range,
    "maximum": _range,
    "const": _version,
}
