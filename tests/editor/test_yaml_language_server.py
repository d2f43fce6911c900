"""The manifest's schema at work in an editor, which the YAML language server stands in for.

The server is the one inside VS Code's YAML extension and many other editors.
It reads YAML 1.2, and patterns are JavaScript's; personasync reads YAML 1.1,
and patterns are Python's.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from personasync.manifest.load import load_manifest
from personasync.manifest.schemas import load_schema, schema_text
from personasync.model.diagnostics import Diagnostic, Severity
from personasync.model.errors import ManifestError
from tests.editor.lsp import LanguageServer, Mark, ServerError, Suggestion
from tests.helpers.support import Tool, clean_environment

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
SCHEMA: Final = load_schema("manifest")
OFFLINE: Final = {"yaml.schemaStore.enable": False, "yaml.kubernetesCRDStore.enable": False}


# What README tells people to write


def readme_modeline() -> str:
    """Return the line that a manifest begins with."""
    modeline = re.search(r"^# yaml-language-server: \S+$", README, re.MULTILINE)
    assert modeline is not None
    return modeline[0]


def readme_settings() -> dict[str, Any]:
    """Return the settings for VS Code."""
    blocks = re.findall(r"^```json\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (text,) = [block for block in blocks if "yaml.schemas" in block]
    settings: dict[str, Any] = json.loads(text)
    return settings


def by_section(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a server asks for them: ``a.b: 1`` is ``b: 1`` in section ``a``."""
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        *sections, last = name.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[last] = value
    return tree


# An editor


class Editor:
    """A language server for a folder ``personas`` of manifests.

    Every document gets the lines ``above`` in front of its own; places and
    marks are in the document's own lines.
    """

    def __init__(self, server: LanguageServer, folder: Path, above: str = "") -> None:
        self._server = server
        self._folder = folder
        self._above = above
        self._opened = 0

    def open(self, text: str) -> str:
        """Open a new document and return its URI."""
        self._opened += 1
        return self._server.open(self._folder / f"{self._opened}.yaml", self._above + text)

    def marks(self, uri: str) -> list[Mark]:
        """Return the marks on an open document."""
        above = self._above.count("\n")
        return [Mark(mark.line - above, mark.message) for mark in self._server.marks(uri)]

    def complete(self, text: str) -> dict[str, Suggestion]:
        """Return what is offered where ``|`` stands in the text, by label."""
        offers = self._server.complete(*self._open_at(text))
        return {offer.label: offer for offer in offers}

    def hover(self, text: str) -> str:
        """Return what is shown where ``|`` stands in the text, without Markdown's escapes."""
        return re.sub(r"\\(\W)", r"\1", self._server.hover(*self._open_at(text)))

    def _open_at(self, text: str) -> tuple[str, int, int]:
        before, _, after = text.partition("|")
        lines = (self._above + before).split("\n")
        return self.open(before + after), len(lines) - 1, len(lines[-1])


@pytest.fixture(scope="module", params=["modeline", "settings"])
def editor(
    request: pytest.FixtureRequest,
    language_server: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Editor]:
    """An editor, and one of README's two ways from a manifest to the schema."""
    root = tmp_path_factory.mktemp("project")
    folder = root / "personas"
    folder.mkdir()
    if request.param == "modeline":
        schema, above, settings = folder, f"{readme_modeline()}\n", OFFLINE
    else:
        schema, above, settings = root, "", {**OFFLINE, **readme_settings()}
    (schema / "personas.schema.json").write_text(schema_text("manifest"), encoding="utf-8")
    environment = clean_environment(root)
    with LanguageServer(language_server, root, by_section(settings), environment) as server:
        yield Editor(server, folder, above)


def test_the_server_is_the_pinned_one(language_server: list[str], tmp_path: Path) -> None:
    package = json.loads(Path(__file__).with_name("package.json").read_text(encoding="utf-8"))
    pinned = package["dependencies"]["yaml-language-server"]
    settings, environment = by_section(OFFLINE), clean_environment(tmp_path)
    with LanguageServer(language_server, tmp_path, settings, environment) as server:
        assert server.name == f"yaml-language-server {pinned}"


def test_the_server_is_kept_from_the_network(language_server: list[str], tmp_path: Path) -> None:
    settings = by_section({"yaml.schemas": {"http://127.0.0.1:9/schema.json": "*"}, **OFFLINE})
    environment = clean_environment(tmp_path)
    with (
        LanguageServer(language_server, tmp_path, settings, environment) as server,
        pytest.raises(ServerError, match="tried to reach the network"),
    ):
        server.marks(server.open(tmp_path / "personas.yaml", "version: 1\n"))


def test_the_settings_reach_the_default_manifest(
    language_server: list[str], tmp_path: Path
) -> None:
    (tmp_path / "personas.schema.json").write_text(schema_text("manifest"), encoding="utf-8")
    settings = by_section({**OFFLINE, **readme_settings()})
    environment = clean_environment(tmp_path)
    with LanguageServer(language_server, tmp_path, settings, environment) as server:
        uri = server.open(tmp_path / "personas.yaml", "version: 2\npersonas: {}\n")
        assert server.marks(uri) == (Mark(1, "Value must be 1."),)


# Completion and hover


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping of the manifest: what an editor calls it, and the lines that lead to it."""

    name: str
    lines: str
    indent: str
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name


MAPPINGS: Final = [
    Mapped("personasync manifest", "", "", SCHEMA["properties"]),
    *(
        Mapped(part["title"], lines, indent, part["properties"])
        for part, lines, indent in [
            (SCHEMA["definitions"]["settings"], "settings:\n", "  "),
            (SCHEMA["definitions"]["defaults"], "defaults:\n", "  "),
            (SCHEMA["definitions"]["persona"], "personas:\n  neon-siren:\n", "    "),
        ]
    ),
]


def described(field: Mapping[str, Any]) -> str:
    """Return the description of a field."""
    if "$ref" in field:
        field = SCHEMA["definitions"][field["$ref"].removeprefix("#/definitions/")]
    description: str = field["description"]
    return description


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_fields_are_offered_with_their_descriptions(editor: Editor, mapping: Mapped) -> None:
    offered = editor.complete(f"{mapping.lines}{mapping.indent}|\n")
    documentation = {label: offer.documentation for label, offer in offered.items()}
    skeleton = documentation.pop(mapping.name, None)
    assert documentation == {name: described(field) for name, field in mapping.fields.items()}
    assert (skeleton is not None) == (mapping.name in ("personasync manifest", "Persona"))


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_what_is_there_is_not_offered_again(editor: Editor, mapping: Mapped) -> None:
    for name in mapping.fields:
        there = f"{mapping.lines}{mapping.indent}{name}: [1]\n{mapping.indent}|\n"
        offered = editor.complete(there).keys() - {mapping.name}
        assert offered == mapping.fields.keys() - {name}


def test_a_whole_persona_is_offered_without_values_that_nobody_gave(editor: Editor) -> None:
    offered = editor.complete("personas:\n  neon-siren:\n    |\n")
    required = SCHEMA["definitions"]["persona"]["required"]
    blank = [f"{name}: ${number}" for number, name in enumerate(required, 1)]
    assert offered["Persona"].inserts == "\n".join(blank)
    for name in SCHEMA["definitions"]["persona"]["properties"]:
        assert offered[name].inserts == f"{name}: "


def test_personas_are_offered_with_room_for_a_key(editor: Editor) -> None:
    assert editor.complete("version: 1\n|\n")["personas"].inserts == "personas:\n  "


def test_values_are_offered(editor: Editor) -> None:
    assert editor.complete("version: |\n").keys() == {"1"}
    assert editor.complete("settings:\n  rateLimit: |\n").keys() == {"20/10s", "5/s", "100/1m"}
    assert editor.complete("defaults:\n  vocalEnd: |\n").keys() == {"30", "42.5"}


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_descriptions_are_shown_on_fields_and_values(editor: Editor, mapping: Mapped) -> None:
    for name, field in mapping.fields.items():
        for line in (f"|{name}: 1", f"{name}: |1"):
            shown = editor.hover(f"{mapping.lines}{mapping.indent}{line}\n")
            assert described(field) in shown, line


def test_a_key_shows_what_a_persona_is(editor: Editor) -> None:
    shown = editor.hover("personas:\n  |neon-siren:\n    taskId: 5c79be8e\n")
    assert SCHEMA["definitions"]["persona"]["description"] in shown


# What is right has no marks


def manifests(*folders: str) -> list[Path]:
    """Return the manifests of folders, without those that are there to be passed over.

    What ``examples/ci`` holds is YAML, but for CI services.
    """
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.y*ml"))
    return sorted(
        path
        for path in found
        if path.name[0] != "."
        and path.parent.name != "deeper"
        and ROOT / "examples" / "ci" not in path.parents
    )


def name_of(path: Path) -> str:
    """Return a test's name for a file."""
    return str(path.relative_to(ROOT))


def text_of(path: Path) -> str | None:
    """Return what an editor shows to its server, without a modeline; ``None`` for no UTF-8."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text.replace("# yaml-language-server:", "# elsewhere:")


def test_valid_manifests_have_no_marks(editor: Editor) -> None:
    texts = {path: text_of(path) for path in manifests("tests/examples/valid", "examples")}
    uris = {name_of(path): editor.open(text) for path, text in texts.items() if text is not None}
    assert len(uris) == len(texts) > 20
    assert {name: editor.marks(uri) for name, uri in uris.items()} == {name: [] for name in uris}


@pytest.fixture(scope="module")
def plain_server(
    language_server: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LanguageServer]:
    """A server without settings of ours, for files that lead to their schema themselves."""
    environment = clean_environment(tmp_path_factory.mktemp("home"))
    with LanguageServer(language_server, ROOT, by_section(OFFLINE), environment) as server:
        yield server


def assert_leads_to_the_schema(server: LanguageServer, path: Path) -> None:
    """Assert that an editor, given just this file, marks nothing in it and explains a field."""
    text = path.read_text(encoding="utf-8")
    uri = server.open(path, text)
    assert server.marks(uri) == ()
    shown = server.hover(uri, text.splitlines().index("version: 1"), 0)
    assert described(SCHEMA["properties"]["version"]) in shown


@pytest.mark.parametrize("path", manifests("examples"), ids=name_of)
def test_the_examples_lead_to_the_schema(plain_server: LanguageServer, path: Path) -> None:
    assert_leads_to_the_schema(plain_server, path)


def test_what_init_writes_leads_to_the_schema(plain_server: LanguageServer, tool: Tool) -> None:
    assert tool("init").code == 0
    assert_leads_to_the_schema(plain_server, tool.folder / "personas.yaml")


# What is wrong is marked, on the line that our own diagnostics name

_PATTERN: Final = "String does not match the pattern"
MARKS: Final = {
    "bad-id": _PATTERN,
    "bad-key": _PATTERN,
    "bad-rate": _PATTERN,
    "empty-value": f"{_PATTERN}|Incorrect type",
    "key-not-text": 'Incorrect type. Expected "string"',
    "missing-field": "Missing property",
    "not-a-number": 'Incorrect type. Expected "(number|integer)"',
    "not-text": 'Incorrect type. Expected "string"',
    "odd-number": 'Incorrect type. Expected "number"',
    "out-of-range": "Value is (above|below) the",
    "unknown-field": "is not allowed",
    "wrong-type": 'Incorrect type. Expected ("(Persona|Settings|personasync manifest|string)"|'
    "one of object, null)",
    "wrong-version": "Value must be 1",
    # Never said: marks on what follows from these problems do not count as marks of them.
    "empty-file": "empty",
    "recursive-alias": "alias|recurs",
    "second-document": "document",
    "too-deep": "deep|nest",
    "too-large": "alias|large",
}
"""What a mark says of a problem, by the code that we give it: the words of the schema.

The codes that are not here are of YAML itself, and any mark will do for them.
"""


@dataclass(frozen=True, slots=True)
class Unmarked:
    """Why an editor has no mark for problems of a code: for none, or not at ``places``."""

    code: str
    reason: str
    places: tuple[str, ...] = ()


_ALONE = "an editor checks each file by itself"
_COMPARES = "a schema compares no value with another"
_UNSEEN = "YAML and the schema allow the character; the text has others that can be seen"
_TEXT = "YAML 1.2, which editors read, takes this for text"
_NUMBER = "YAML 1.2 takes this for a number as good as any"
_ELSEWHERE = "the editor's YAML reader puts its mark on another line: {}"

UNMARKED: Final = (
    Unmarked(
        "bad-indentation",
        _ELSEWHERE.format("the one above"),
        ("indented-at-the-top.yaml:2", "indented-more.yaml:6", "indented-part.yaml:8"),
    ),
    Unmarked("contradicting-setting", _ALONE),
    Unmarked("bad-id", "a pattern looks at no ending", ("ids-that-are-addresses.yaml:10",)),
    Unmarked(
        "bad-id",
        "a schema knows no letters that look alike, and no name before an ID",
        ("ids-that-only-look-right.yaml:10", "ids-that-only-look-right.yaml:18"),
    ),
    Unmarked("bad-escape", "YAML 1.2 in JavaScript knows halves", ("half-a-character.yaml:6",)),
    Unmarked("cut-by-comment", "to YAML this is a text and a comment"),
    Unmarked("duplicate-audio-id", _COMPARES),
    Unmarked(
        "duplicate-key",
        _ALONE,
        ("across-files/soul.yml:3", "several-files-all-wrong/d-fine.yaml:3"),
    ),
    Unmarked(
        "duplicate-key",
        _ELSEWHERE.format("that of the last key"),
        ("persona-key-at-field-depth.yaml:18",),
    ),
    Unmarked("duplicate-persona-id", _COMPARES),
    Unmarked("empty-file", "editors only tell which fields a file without a word leaves out"),
    Unmarked("empty-segment", _COMPARES),
    Unmarked(
        "empty-value",
        "an editor marks each key that should stand below personas:, and not personas: itself",
        ("indentation-lost.yaml:2",),
    ),
    Unmarked(
        "key-not-text",
        _TEXT,
        ("date-as-key.yaml:3", "number-as-key.yaml:8", "refused-key-and-its-fields.yaml:17"),
    ),
    Unmarked("merge-not-mapping", "editors pass over a merge of something else"),
    Unmarked(
        "missing-field",
        "YAML 1.2 stops at quoted text that is not indented, before the schema is asked",
        ("field-swallowed-by-quotes.yaml:3",),
    ),
    Unmarked("no-manifest", "a folder is not a document"),
    Unmarked("left-over-braces", _ELSEWHERE.format("the one below"), ("braces-left.yaml:3",)),
    Unmarked(
        "lost-beginning",
        "to YAML this is a tag and a text",
        ("text-taken-for-an-anchor.yaml:12",),
    ),
    Unmarked("lost-character", "to a schema this is a character like any other"),
    Unmarked(
        "not-a-manifest",
        "an editor tells of each field that is not known",
        (
            "not-a-manifest-compose.yaml:0",
            "not-a-manifest-kubernetes.yaml:0",
            "not-a-manifest-mkdocs.yaml:0",
        ),
    ),
    Unmarked(
        "not-a-manifest",
        "an editor for text marks what it finds strange in it, and not the whole",
        ("document-of-a-word-processor.yaml:0",),
    ),
    Unmarked(
        "not-text",
        _TEXT,
        (
            "base-60-read-from-text.yaml:6",
            "date-read-from-text.yaml:6",
            "float-read-from-text.yaml:8",
            "truth-read-from-text.yaml:6",
            "truth-read-from-text.yaml:8",
        ),
    ),
    Unmarked("not-utf-8", "an editor shows such a file with other characters, or not at all"),
    Unmarked(
        "odd-number",
        _NUMBER,
        (
            "numbers-to-other-readers.yaml:3",
            "numbers-to-other-readers.yaml:10",
            "numbers-to-other-readers.yaml:11",
            "seconds-as-octal.yaml:8",
            "seconds-as-octal.yaml:9",
            "seconds-as-people-write-them.yaml:68",
            "seconds-odd.yaml:16",
        ),
    ),
    Unmarked(
        "odd-number",
        "a schema has no word for too large, infinite or undefined",
        (
            "seconds-huge.yaml:8",
            "seconds-huge.yaml:14",
            "seconds-odd.yaml:9",
            "seconds-odd.yaml:15",
        ),
    ),
    Unmarked(
        "stray-colon",
        _ELSEWHERE.format("the first of the text"),
        ("text-goes-on-with-a-colon-inside.yaml:9", "text-goes-on-with-a-colon.yaml:8"),
    ),
    Unmarked(
        "placeholder",
        "the schema's patterns know the commonest placeholders only",
        (
            "placeholder-description.yaml:12",
            "placeholder-ids.yaml:10",
            "placeholder-texts.yaml:12",
            "placeholder-texts.yaml:13",
            "placeholders-of-programs.yaml:20",
            "placeholders-of-programs.yaml:26",
            "placeholders-of-programs.yaml:32",
        ),
    ),
    Unmarked("recursive-alias", "editors only tell which fields the recursion leaves out"),
    Unmarked("second-document", "an editor checks each document of a file by itself"),
    Unmarked("swallowed-field", "to YAML this is all one text"),
    Unmarked("too-deep", "editors have another limit, or none"),
    Unmarked("too-large", "editors have another limit, or none"),
    Unmarked(
        "unclosed-quote",
        _ELSEWHERE.format("the last"),
        (
            "apostrophe-at-the-start.yaml:20",
            "pasted-curly-closing-quote.yaml:6",
            "several-files-all-wrong/a-syntax.yaml:6",
            "unclosed-double-quote.yaml:6",
            "unclosed-single-quote.yaml:6",
        ),
    ),
    Unmarked("unseen-character", _UNSEEN),
    Unmarked("url", "a persona's ID may hold slashes", ("ids-that-are-addresses.yaml:19",)),
    Unmarked("unseen-line-break", _UNSEEN),
    Unmarked(
        "wrong-type",
        _ELSEWHERE.format("the first of the mapping that stands for the text"),
        ("mapping-where-text-belongs.yaml:8",),
    ),
)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """An error in an example: our code for it, and ``FILE:LINE``."""

    code: str
    place: str


INVALID: Final = ROOT / "tests" / "examples" / "invalid"


def errors_in(example: str) -> list[Diagnostic]:
    """Return the errors in a file or folder of the current folder."""
    with pytest.raises(ManifestError) as caught:
        load_manifest([example])
    found = [item for item in caught.value.diagnostics if item.severity is Severity.ERROR]
    assert found
    return found


@pytest.fixture(scope="module")
def problems(editor: Editor) -> dict[Problem, bool]:
    """Every error in the invalid examples, and whether the editor has a mark for it."""
    texts = {path: text_of(path) for path in manifests("tests/examples/invalid")}
    uris = {path: editor.open(text) for path, text in texts.items() if text is not None}
    found: dict[Problem, bool] = {}
    with contextlib.chdir(INVALID):
        for example in sorted({path.relative_to(INVALID).parts[0] for path in INVALID.rglob("*")}):
            if example.endswith(".expected") or example.startswith("."):
                continue
            for error in errors_in(example):
                assert error.place is not None
                uri = uris.get(INVALID / error.place.file)
                marks = editor.marks(uri) if uri is not None else []
                problem = Problem(error.code, f"{error.place.file}:{error.place.line}")
                said = MARKS.get(error.code, "")
                found[problem] = any(
                    mark.line == error.place.line and re.search(said, mark.message) is not None
                    for mark in marks
                )
    return found


def test_problems_are_marked_where_our_diagnostics_are(problems: dict[Problem, bool]) -> None:
    """All but those that are listed, each with the reason why it cannot be."""
    listed = {
        problem
        for row in UNMARKED
        for problem in problems
        if problem.code == row.code and (not row.places or problem.place in row.places)
    }
    unmarked = {problem for problem, marked in problems.items() if not marked}
    assert sorted(unmarked - listed) == []
    assert sorted(listed - unmarked) == []


def test_every_row_of_the_tables_is_in_use(problems: dict[Problem, bool]) -> None:
    codes = {problem.code for problem in problems}
    assert MARKS.keys() <= codes
    for row in UNMARKED:
        assert row.code in codes
        for place in row.places:
            assert Problem(row.code, place) in problems
