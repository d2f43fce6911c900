"""A plan in every format: whole outputs, and no text that steers whoever reads them."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from personasync.model.answer import KeptAnswer
from personasync.model.diagnostics import Place
from personasync.model.persona import Manifest, Persona, PersonaRequest
from personasync.plan.compute import Plan, compute_plan
from personasync.plan.gates import select
from personasync.plan.saved import plan_digest
from personasync.render.commands import Shell
from personasync.render.markdown import MARKDOWN_MARKER, render_markdown
from personasync.render.plan import FORMATS, PlanView, render_github, render_json, render_text
from personasync.state.entry import Entry, Header, Origin, Status
from personasync.state.fold import State

API = "https://api.example"
SCHEMA = json.loads(
    (Path(__file__).parents[3] / "schemas" / "plan.schema.json").read_text(encoding="utf-8")
)
VIEW = PlanView(api=API, location="personas.state.jsonl")


def request(audio_id: str, name: str = "Neon Siren", **fields: object) -> PersonaRequest:
    given: dict[str, object] = {"description": "A bright voice with wide synths", **fields}
    return PersonaRequest("task-1", audio_id, name, **given)  # type: ignore[arg-type]


def persona(key: str, audio_id: str, line: int = 1, **fields: object) -> Persona:
    persona_id = fields.pop("persona_id", None)
    place = Place("personas.yaml", line, 3)
    return Persona(key, request(audio_id, **fields), place, persona_id)  # type: ignore[arg-type]


def entry(key: str, audio_id: str, status: Status = Status.CREATED, **fields: object) -> Entry:
    if status is Status.CREATED:
        fields = {"persona_id": f"id-{audio_id}", "origin": Origin.APPLY, **fields}
    sent = {name: fields.pop(name) for name in ("name", "description") if name in fields}
    return Entry(audio_id, key, status, request=request(audio_id, **sent), **fields)  # type: ignore[arg-type]


def plan(personas: list[Persona], entries: list[Entry]) -> Plan:
    known = {each.audio_id: each for each in entries}
    header = Header("lineage-1", API) if entries else None
    return compute_plan(Manifest(tuple(personas), files=("personas.yaml",)), State(header, known))


@pytest.fixture
def every_action() -> Plan:
    return plan(
        [
            persona("neon-siren", "a1", 5),
            persona("refused", "a2", 12, name="Too Long"),
            persona("night", "a3", 19, name="夜の歌姫"),
            persona("adopted", "a4", 26, name="Old Friend", persona_id="p-4"),
            persona("new-key", "a5", 33, name="ร้องเพลง ✨"),
            persona("glass", "a6", 40, name="Glass Choir", vocal_end=25),
            persona("lost", "a7", 47, name="Lost One"),
            persona("ok", "a8", 54),
        ],
        [
            entry("refused", "a2", Status.FAILED, code=413, message="text too long"),
            entry("night", "a3", Status.PENDING, name="夜の歌姫"),
            entry("old-key", "a5", name="ร้องเพลง ✨"),
            entry("glass", "a6", name="Glass Chor"),
            entry("lost", "a7", Status.CONFLICT, name="Lost One", code=409),
            entry("ok", "a8"),
            entry("gone", "a9", name="Gone"),
        ],
    )


TEXT = """\
  + neon-siren  create    Neon Siren
  + refused     create    Too Long     refused before: 413 text too long
  + night       resume    夜の歌姫
  < adopted     import    Old Friend   p-4 (the manifest gives its ID)
  > new-key     rename    ร้องเพลง ✨   old-key -> new-key
  ! glass       changed   Glass Choir
      name: "Glass Chor" -> "Glass Choir"
      vocalEnd: 30 -> 25
      already created, and the API cannot change a persona
      use another audio, accept it (state accept), or put it back as it was sent; to print that:
        personasync state show glass --format manifest
  ! lost        conflict  Lost One
      its persona exists, made elsewhere or by a run whose state is lost; the API gives an ID only
      once
      use another audio, or find its ID where it was made, or in an older copy of the state, and
      record it:
        personasync import lost PERSONA_ID
  ! gone        removed   Gone         id-a9
      no longer in the manifest; it stays, since the API cannot delete
      put it back into the manifest, or hide it (its ID is kept):
        personasync state rm gone

resume: an earlier request's outcome is unknown; asking again spends nothing twice

Plan: 2 to create, 1 to resume, 1 to import, 1 to rename. 1 unchanged.
Needs attention: 1 changed, 1 removed, 1 in conflict.
"""


def test_text(every_action: Plan) -> None:
    assert render_text(every_action) == TEXT


def test_columns_align_by_cells_whatever_the_script(every_action: Plan) -> None:
    lines = [
        line for line in render_text(every_action).splitlines() if re.match(r"  [+<>!] ", line)
    ]
    starts = {
        cell_len(line[: line.index(detail)])
        for line in lines
        for detail in ("refused before", "p-4", "old-key ->", "id-a9")
        if detail in line
    }
    assert starts == {39}


def test_text_fits_a_narrow_terminal(every_action: Plan) -> None:
    text = render_text(every_action, width=48)
    ending = text.index("\nPlan: ")
    long = [line for line in text[:ending].splitlines() if cell_len(line) > 48]
    assert long == ["        personasync state show glass --format manifest"]  # to be copied whole
    assert "  > new-key     rename    ร้องเพลง ✨\n      old-key -> new-key\n" in text


def test_color_adds_nothing_but_color(every_action: Plan) -> None:
    colored = render_text(every_action, color=True)
    assert "  \x1b[32m+\x1b[0m neon-siren" in colored
    assert "\x1b[33mNeeds attention: 1 changed, 1 removed, 1 in conflict.\x1b[0m\n" in colored
    assert re.sub(r"\x1b\[\d*m", "", colored) == render_text(every_action)


@pytest.mark.parametrize(
    ("personas", "entries", "text"),
    [
        (
            [],
            [],
            "The manifest has no personas.\n"
            "No changes. Every persona in the manifest is recorded.\n",
        ),
        (
            [persona("a", "a1")],
            [entry("a", "a1")],
            "No changes. Every persona in the manifest is recorded.\n",
        ),
        (
            [],
            [entry("gone", "a1")],
            "  ! gone  removed   Neon Siren  id-a1\n"
            "      no longer in the manifest; it stays, since the API cannot delete\n"
            "      put it back into the manifest, or hide it (its ID is kept):\n"
            "        personasync state rm gone --state 'my state'\n"
            "\n"
            "The manifest has no personas.\n"
            "No changes. Every persona in the manifest is recorded.\n"
            "Needs attention: 0 changed, 1 removed, 0 in conflict.\n",
        ),
        (
            [persona("a", "a1")],
            [
                entry(
                    "a",
                    "a1",
                    Status.CONFLICT,
                    answer=KeptAnswer.of_text('{"data": {"personaId": "p-1", "na'),
                )
            ],
            "  ! a  conflict  Neon Siren\n"
            "      its persona exists, made elsewhere or by a run whose state is lost; the API"
            " gives an ID only\n"
            "      once\n"
            "      use another audio, or record the ID that a kept answer shows:\n"
            "        personasync import a p-1 --state 'my state'\n"
            "\n"
            "Plan: 0 to create, 0 to resume, 0 to import, 0 to rename. 0 unchanged.\n"
            "Needs attention: 0 changed, 0 removed, 1 in conflict.\n",
        ),
    ],
    ids=["empty", "recorded", "removed", "conflict"],
)
def test_text_ends_with_what_the_contract_says(
    personas: list[Persona], entries: list[Entry], text: str
) -> None:
    assert render_text(plan(personas, entries), shell=Shell(state="my state")) == text


SIX = [persona(f"p{number}", f"a{number}") for number in range(6)]


@pytest.mark.parametrize(
    ("entries", "targets", "excludes", "text"),
    [
        (
            SIX,
            ["p[0-2]"],
            [],
            "No changes among the 3 personas chosen; 3 are left out by --target and --exclude.",
        ),
        (
            SIX,
            [],
            ["p0"],
            "No changes among the 5 personas chosen; 1 is left out by --target and --exclude.",
        ),
        (
            SIX,
            ["*"],
            ["p1", "p2", "p3", "p4", "p5"],
            "No changes among the 1 persona chosen; 5 are left out by --target and --exclude.",
        ),
        (SIX, ["*"], [], "No changes. Every persona in the manifest is recorded."),
        (
            SIX[:3],
            ["p[0-4]"],
            [],
            "Plan: 2 to create, 0 to resume, 0 to import, 0 to rename. 3 unchanged. 1 left out.",
        ),
    ],
)
def test_a_narrowed_plan_speaks_for_what_was_chosen(
    entries: list[Persona], targets: list[str], excludes: list[str], text: str
) -> None:
    recorded = [entry(each.key, each.audio_id) for each in entries]
    narrowed = select(plan(SIX, recorded), targets, excludes)
    assert render_text(narrowed).splitlines()[-1] == text
    assert f"**{text}**" in render_markdown(narrowed)
    assert f"::notice title=personasync plan::{text}\n" in render_github(narrowed)


@pytest.mark.parametrize(("count", "commands"), [(10, 10), (11, 1)])
def test_rows_of_one_trouble_are_explained_once(count: int, commands: int) -> None:
    lost = [entry(f"k{n}", f"a{n}", Status.CONFLICT) for n in range(count)]
    kept = entry("kept", "b1", Status.CONFLICT, answer=KeptAnswer.of_text('{"personaId": "p-1"}'))
    personas = [persona(each.key, each.audio_id) for each in (*lost, kept)]
    lines = render_text(plan(personas, [*lost, kept]), width=200).splitlines()
    assert sum("its persona exists" in line for line in lines) == 2
    record = [line for line in lines if line.startswith("        personasync import k")]
    assert (record[0], len(record)) == (
        ("        personasync import kept p-1", 1)
        if commands == 1
        else ("        personasync import k0 PERSONA_ID", 11)
    )
    assert ("        personasync import KEY PERSONA_ID" in lines) is (commands == 1)
    assert ("        personasync import --from FILE" in lines) is (commands == 1)


def test_a_long_change_shows_where_the_values_begin_to_differ() -> None:
    before = "long ago and far away, " * 20
    shown = render_text(
        plan(
            [persona("a", "a1", description=f"{before}a choir of glass")],
            [entry("a", "a1", description=f"{before}a choir of steel")],
        ),
        width=60,
    )
    assert (
        "      description:\n"
        '        recorded  … long ago and far away, a choir of steel"\n'
        '        wanted    … long ago and far away, a choir of glass"\n'
    ) in shown


def test_a_field_that_was_not_given_says_so() -> None:
    styled = plan([persona("a", "a1", style="Pop\n")], [entry("a", "a1")])
    assert '      style: not given -> "Pop\\n"\n' in render_text(styled)


def test_a_refusal_of_any_length_stays_readable() -> None:
    refused = entry("a", "a1", Status.FAILED, code=422, message="no " * 1_000)
    lines = render_text(plan([persona("a", "a1")], [refused])).splitlines()
    assert lines[0] == "  + a  create    Neon Siren"
    assert len(lines) == 7
    assert lines[4].endswith("no …")


def test_ten_thousand_unchanged_are_counted_and_not_listed() -> None:
    numbers = range(10_000)
    many = plan(
        [persona(f"k{n}", f"a{n}") for n in numbers], [entry(f"k{n}", f"a{n}") for n in numbers[1:]]
    )
    assert render_text(many) == (
        "  + k0  create    Neon Siren\n"
        "\n"
        "Plan: 1 to create, 0 to resume, 0 to import, 0 to rename. 9999 unchanged.\n"
    )


def test_json() -> None:
    changed = plan(
        [persona("a", "a1", 5, name="夜", style="Pop"), persona("b", "a2", 12)],
        [entry("a", "a1"), entry("gone", "a3")],
    )
    text = render_json(changed, api=API, location="personas.state.jsonl")
    document = json.loads(text)
    jsonschema.validate(document, SCHEMA)
    assert document["digest"] == plan_digest(document)
    del document["digest"]
    digests = document["manifest"].pop("digest"), document["state"].pop("digest")
    assert digests[1] == changed.state.digest()
    assert document == {
        "format": "personasync.plan/1",
        "manifest": {"paths": ["personas.yaml"], "files": ["personas.yaml"]},
        "state": {"location": "personas.state.jsonl", "lineage": "lineage-1"},
        "api": API,
        "summary": {
            "create": 1,
            "resume": 0,
            "import": 0,
            "rename": 0,
            "unchanged": 0,
            "changed": 1,
            "removed": 1,
            "conflict": 0,
            "leftOut": 0,
        },
        "shown": {
            "a1": {"name": "夜", "recordedKey": "a", "status": "created"},
            "a2": {"name": "Neon Siren", "recordedKey": None, "status": None},
            "a3": {"name": "Neon Siren", "recordedKey": "gone", "status": "created"},
        },
        "actions": [
            {
                "action": "changed",
                "key": "a",
                "audioId": "a1",
                "taskId": "task-1",
                "personaId": "id-a1",
                "changes": [
                    {"field": "name", "recorded": "Neon Siren", "wanted": "夜"},
                    {"field": "style", "recorded": None, "wanted": "Pop"},
                ],
                "reason": "already created, and the API cannot change a persona",
                "source": {"file": "personas.yaml", "line": 5},
            },
            {
                "action": "create",
                "key": "b",
                "audioId": "a2",
                "taskId": "task-1",
                "personaId": None,
                "changes": [],
                "reason": None,
                "source": {"file": "personas.yaml", "line": 12},
            },
            {
                "action": "removed",
                "key": "gone",
                "audioId": "a3",
                "taskId": "task-1",
                "personaId": "id-a3",
                "changes": [],
                "reason": "no longer in the manifest; it stays, since the API cannot delete",
                "source": None,
            },
        ],
    }
    assert text.isascii()
    assert text.startswith('{\n  "format": "personasync.plan/1",\n')
    assert text.endswith("\n}\n")


MARKDOWN = """\
<!-- personasync plan -->

### personasync plan

**Plan: 2 to create, 1 to resume, 1 to import, 1 to rename. 1 unchanged.**

**Needs attention: 1 changed, 1 removed, 1 in conflict.**

|  | key | action | persona | details |
| --- | --- | --- | --- | --- |
| <code>&#43;</code> | <code>neon-siren</code> | create | <code>Neon Siren</code> |  |
| <code>&#43;</code> | <code>refused</code> | create | <code>Too Long</code> | <code>refused before&#58; 413 text too long</code> |
| <code>&#43;</code> | <code>night</code> | resume | <code>夜の歌姫</code> |  |
| <code>&#60;</code> | <code>adopted</code> | import | <code>Old Friend</code> | <code>p-4 (the manifest gives its ID)</code> |
| <code>&#62;</code> | <code>new-key</code> | rename | <code>ร้องเพลง ✨</code> | <code>old-key -&#62; new-key</code> |
| <code>&#33;</code> | <code>glass</code> | changed | <code>Glass Choir</code> | <code>personasync state show glass --format manifest</code> |
| <code>&#33;</code> | <code>lost</code> | conflict | <code>Lost One</code> | <code>personasync import lost PERSONA&#95;ID</code> |
| <code>&#33;</code> | <code>gone</code> | removed | <code>Gone</code> | <code>id-a9</code><br><code>personasync state rm gone</code> |

| key | field | recorded | wanted |
| --- | --- | --- | --- |
| <code>glass</code> | <code>name</code> | <code>"Glass Chor"</code> | <code>"Glass Choir"</code> |
| <code>glass</code> | <code>vocalEnd</code> | <code>30</code> | <code>25</code> |

- **resume**: an earlier request's outcome is unknown; asking again spends nothing twice
- **changed**: already created, and the API cannot change a persona; use another audio, accept it (state accept), or put it back as it was sent; to print that: <code>personasync state show KEY --format manifest</code>
- **conflict**: its persona exists, made elsewhere or by a run whose state is lost; the API gives an ID only once; use another audio, or find its ID where it was made, or in an older copy of the state, and record it: <code>personasync import KEY PERSONA&#95;ID</code>
- **removed**: no longer in the manifest; it stays, since the API cannot delete; put it back into the manifest, or hide it (its ID is kept): <code>personasync state rm KEY</code>
"""  # noqa: E501 - a row of a table is one line


def test_markdown(every_action: Plan) -> None:
    assert render_markdown(every_action) == MARKDOWN


def test_markdown_of_nothing_to_do_is_its_summary() -> None:
    assert render_markdown(plan([], [])) == (
        "<!-- personasync plan -->\n"
        "\n"
        "### personasync plan\n"
        "\n"
        "**The manifest has no personas.**\n"
        "\n"
        "**No changes. Every persona in the manifest is recorded.**\n"
    )


class _Cells(HTMLParser):
    """What a reader of rendered Markdown sees: the texts of the cells, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(" ".join([tag, *(name for name, _ in attrs)]))
        if tag in ("td", "th"):
            self._in_cell = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells[-1] += data


def rendered(markdown: str) -> _Cells:
    reader = _Cells()
    reader.feed(MarkdownIt("commonmark", {"html": True}).enable(["table"]).render(markdown))
    reader.close()
    return reader


PLAIN_TAGS = {
    *("h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "code"),
    *("ul", "li", "details", "summary", "em", "wbr"),
}
NASTY = [
    "a|b",
    "a\\|b\\",
    "`a` ``b``",
    "<img src=x onerror=alert(1)>",
    "</code></td></table><details>",
    "<!-- ",
    "-->",
    "@everyone and @here",
    "someone@example.com",
    "https://example.com www.example.com",
    "[a](javascript:x) ![b](http://c)",
    "**a** _b_ ~~c~~ $d$",
    "#12 GH-12 :tada: &amp; &#124;",
    "\\",
]


@pytest.mark.parametrize("name", NASTY)
def test_markdown_shows_any_text_and_obeys_none(name: str) -> None:
    markdown = render_markdown(plan([persona("a", "a1", name=name)], []))
    seen = rendered(markdown)
    assert seen.cells == ["", "key", "action", "persona", "details", "+", "a", "create", name, ""]
    assert seen.tags <= PLAIN_TAGS
    # What GitHub makes of text beyond CommonMark, it makes of the signs that are escaped here.
    body = markdown.removeprefix(MARKDOWN_MARKER)
    assert not re.search(
        r"@|://|www\.|<!--|\[|\$|[#:](?!\d+;|## )", body.split("| --- |\n")[1].replace("&#", "")
    )
    assert "&#64;" not in re.sub("&#64;<wbr>", "", markdown)


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=400)), min_size=1, max_size=60))
@settings(max_examples=60)
def test_markdown_is_cut_by_whole_rows(texts: list[tuple[str, str]]) -> None:
    personas = [
        persona(f"k{n}", f"a{n}", name=name or "-", description=text or "-")
        for n, (name, text) in enumerate(texts)
    ]
    differing = plan(personas, [entry(f"k{n}", f"a{n}") for n in range(len(texts))])
    whole = rendered(render_markdown(differing, limit=10**9))
    for limit in (2_000, 4_000, 16_000, 65_536):
        markdown = render_markdown(differing, limit=limit)
        assert len(markdown.encode()) <= limit
        seen = rendered(markdown)
        assert seen.tags <= PLAIN_TAGS
        assert set(seen.cells) <= set(whole.cells)
        assert markdown.count("<details>") == markdown.count("</details>")


def test_markdown_counts_what_it_leaves_out() -> None:
    many = plan([persona(f"k{n}", f"a{n}", name="夜" * 40) for n in range(2_000)], [])
    markdown = render_markdown(many)
    shown = sum(line.startswith("| <code>&#43;") for line in markdown.splitlines())
    assert 65_536 - 300 < len(markdown.encode()) <= 65_536
    assert markdown.splitlines()[6:10] == [
        "<details>",
        "<summary>2000 actions</summary>",
        "",
        "|  | key | action | persona | details |",
    ]
    assert markdown.endswith(
        f"\n\n_… {2_000 - shown} of 2000 actions left out, to keep within the limit;"
        " the plan's text names them all._\n\n</details>\n"
    )


def test_github(every_action: Plan) -> None:
    assert render_github(every_action) == (
        "::warning file=personas.yaml,line=40,title=personasync%3A glass changed::"
        "already created, and the API cannot change a persona"
        '%0Aname: "Glass Chor" -> "Glass Choir"%0AvocalEnd: 30 -> 25'
        "%0Ause another audio, accept it (state accept), or put it back as it"
        " was sent; to print that:"
        " personasync state show glass --format manifest\n"
        "::warning file=personas.yaml,line=47,title=personasync%3A lost conflict::"
        "its persona exists, made elsewhere or by a run whose state is lost; the API gives an ID"
        " only once"
        "%0Ause another audio, or find its ID where it was made, or in an older copy of the state,"
        " and record it: personasync import lost PERSONA_ID\n"
        "::warning title=personasync%3A gone removed::"
        "no longer in the manifest; it stays, since the API cannot delete"
        "%0Aput it back into the manifest, or hide it (its ID is kept): personasync state rm gone\n"
        "::notice title=personasync plan::"
        "Plan: 2 to create, 1 to resume, 1 to import, 1 to rename. 1 unchanged."
        "%0ANeeds attention: 1 changed, 1 removed, 1 in conflict.\n"
    )


def workflow_commands(log: str) -> list[str]:
    """Name the commands that GitHub's runner would obey: `::name::` first, `##[name]` anywhere."""
    found = []
    for line in re.split(r"\r\n|\r|\n", log):
        modern = re.match(r"\s*::(\w[\w-]*)( .*?)?::", line)
        legacy = re.search(r"##\[([^\] ]+)[^\]]*\]", line)
        command = modern or legacy
        if command:
            found.append(command[1])
    return found


hostile = st.text(st.characters(), min_size=1, max_size=40) | st.sampled_from(
    [
        "::error::x",
        "\n::stop-commands::x",
        "a\r::add-mask::b",
        "##[add-mask]x",
        "###[group]",
        "x " * 40 + "::error::pwned",
        "%0A::error::",
        "\x1b]0;title\x07",
        "\u202eevil\u2066",
        "\ud800",
        "\u2028::error::x",
    ]
)


@given(key=hostile, old=hostile, name=hostile, sent=hostile, message=hostile, file=hostile)
@settings(max_examples=150)
def test_no_text_steers_a_terminal_or_a_log(
    key: str, old: str, name: str, sent: str, message: str, file: str
) -> None:
    place = Place(file, 3, 1)
    wanted = [Persona(f"{key}{n}", request(f"a{n}", name), place) for n in range(5)]
    hostile_plan = plan(
        wanted,
        [
            entry(f"{key}1", "a1", name=sent),
            entry(old, "a2", name=sent),
            entry(
                f"{key}3",
                "a3",
                Status.CONFLICT,
                message=message,
                answer=KeptAnswer.of_text(message),
            ),
            entry(f"{key}4", "a4", Status.FAILED, code=422, message=message),
            entry(old, "a9", name=sent, persona_id=message),
        ],
    )
    for output_format, render in FORMATS.items():
        text = render(hostile_plan, VIEW)
        text.encode()
        assert all(ch == "\n" or ch.isprintable() or ord(ch) >= 160 for ch in text)
        assert not set(text) & set("\u2028\u202e\u2066")
        attention = sum(
            action.kind in ("changed", "conflict", "removed") for action in hostile_plan.actions
        )
        expected = ["warning"] * attention + ["notice"] if output_format == "github" else []
        assert workflow_commands(text) == expected, output_format
    document = json.loads(FORMATS["json"](hostile_plan, VIEW))
    jsonschema.validate(document, SCHEMA)
    assert document["actions"][0]["key"] == f"{key}0"
