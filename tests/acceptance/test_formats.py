"""A plan in the forms that reviewers and workflows read, as the command gives them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from tests.helpers.sandbox import Sandbox
from tests.helpers.serving import apply_here, serving
from tests.helpers.support import Tool, manifest_text

NASTY = (
    "a|b `c` **d** _e_ ~~f~~ \\| <img src=x onerror=alert(1)> </code></td></table>"
    " @everyone <!-- #12 :tada: [x](javascript:y) https://example.com &amp; ::error::z"
)


@pytest.fixture
def api(tool: Tool) -> Iterator[Sandbox]:
    with serving(tool) as sandbox:
        yield sandbox


class Page(HTMLParser):
    """What a reader of rendered Markdown sees: every tag, and the texts of the cells."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table"]).render(markdown))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(" ".join([tag, *(name for name, _ in attrs)]))
        self._in_cell = self._in_cell or tag == "td"
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells[-1] += data


def commands(log: str) -> list[str]:
    """Name what GitHub's runner would obey in a log."""
    return [
        (found[1] or found[2])
        for line in log.splitlines()
        if (found := re.search(r"^\s*::(\w[\w-]*)(?: .*?)?::|##\[(\w+)", line))
    ]


def test_markdown_shows_any_name_and_obeys_none(tool: Tool, api: Sandbox) -> None:
    text = manifest_text(range(2)).replace('"Persona 0"', json.dumps(NASTY))
    tool.write("personas.yaml", text)
    apply_here(tool, api)
    tool.write("personas.yaml", text.replace('"Persona 1"', json.dumps(NASTY)))
    markdown = tool("plan", "--format", "markdown").stdout
    page = Page(markdown)
    table = {"table", "thead", "tbody", "tr", "th", "td", "code", "wbr"}
    assert page.tags <= {"h3", "p", "strong", "em", "ul", "li", "details", "summary"} | table
    assert [cell for cell in page.cells if "img" in cell] == [NASTY[:79] + "…", f'"{NASTY}"']
    body = markdown.split("\n", 1)[1]
    assert not re.search(r"@(?!\w*;)|https?://|<img|<!--", body)


@pytest.mark.parametrize("count", [30, 3_000])
def test_markdown_of_many_is_collapsed_and_cut(tool: Tool, count: int) -> None:
    tool.manifest(count, style="歌" * 40)
    ended = tool("plan", "--markdown-out", "comment.md")
    markdown = (tool.folder / "comment.md").read_text(encoding="utf-8")
    assert ended.code == 0
    assert len(markdown) <= 65_536
    assert f"<details>\n<summary>{count} actions</summary>\n" in markdown
    assert f"**Plan: {count} to create, " in markdown
    shown = len(re.findall(r"^\| <code>&#43;</code> ", markdown, re.MULTILINE))
    note = f"{count - shown} of {count} actions left out, to keep within the limit"
    assert (note in markdown) == (shown < count)
    assert shown == count if count == 30 else 500 < shown < count


def test_a_job_page_gets_the_markdown_and_the_log_annotations(tool: Tool, api: Sandbox) -> None:
    tool.manifest(2)
    apply_here(tool, api)
    tool.manifest(3, vocalEnd=5)
    page = tool.write("summary.md", "What another step wrote.\n")
    ended = tool("plan", "--format", "github", env={"GITHUB_STEP_SUMMARY": str(page)})
    assert ended.code == 0
    markdown = tool("plan", "--format", "markdown").stdout
    assert page.read_text(encoding="utf-8") == f"What another step wrote.\n{markdown}"
    assert commands(ended.stdout) == ["warning"] * 5 + ["notice"]
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("::warning file=personas.yaml,line=8,endLine=8,col=")
    assert lines[3].startswith("::warning file=personas.yaml,line=3,title=personasync%3A p-000 ch")
    assert lines[-1] == (
        "::notice title=personasync plan::"
        "Plan: 1 to create, 0 to resume, 0 to import, 0 to rename. 0 unchanged."
        "%0ANeeds attention: 2 changed, 0 removed, 0 in conflict."
    )
    assert commands(ended.stderr) == []


def test_without_a_job_page_there_are_the_annotations(tool: Tool) -> None:
    tool.manifest(1)
    ended = tool("plan", "--format", "github")
    assert (ended.code, commands(ended.stdout)) == (0, ["notice"])
    assert sorted(path.name for path in tool.folder.iterdir()) == ["personas.yaml"]


def test_a_job_page_is_for_its_format_alone(tool: Tool) -> None:
    tool.manifest(1)
    page = tool.folder / "summary.md"
    for name in ("text", "json", "markdown"):
        tool("plan", "--format", name, env={"GITHUB_STEP_SUMMARY": str(page)})
    assert not page.exists()


@pytest.mark.parametrize(
    ("options", "text", "told"),
    [
        ((), "version: 1\npersonas: []\n", ["error", "error"]),
        (("--max-creates", "0"), manifest_text(range(1)), ["notice", "error"]),
        (("--target", "nobody"), manifest_text(range(1)), ["error"]),
        (("--strict",), manifest_text(range(1), vocalEnd=5), ["warning", "error"]),
        (("-f", "missing.yaml"), "", ["error", "error"]),
    ],
    ids=["manifest", "max-creates", "target", "strict", "missing"],
)
def test_what_stops_a_plan_is_annotated(
    tool: Tool, options: tuple[str, ...], text: str, told: list[str]
) -> None:
    tool.write("personas.yaml", text)
    ended = tool("plan", "--format", "github", *options)
    assert (ended.code, commands(ended.stdout)) == (1, told)
    *_, last = ended.stdout.splitlines()
    message = re.search(r"Error: (.*)", ended.stderr)
    assert message is not None
    assert last.startswith(f"::error title=personasync::{message[1]}")
    assert commands(ended.stderr) == []


def test_a_job_page_that_cannot_be_written_is_said(tool: Tool) -> None:
    tool.manifest(1)
    nowhere = str(tool.folder / "nowhere" / "summary.md")
    ended = tool("plan", "--format", "github", env={"GITHUB_STEP_SUMMARY": nowhere})
    assert ended.code == 1
    assert ended.stderr == f"Error: cannot write {nowhere}: No such file or directory\n"


def test_no_name_becomes_a_command_of_the_log(tool: Tool) -> None:
    text = manifest_text(range(1), vocalEnd=5).replace('"Persona 0"', json.dumps(f"::stop {NASTY}"))
    tool.write("personas.yaml", text)
    annotations = ["warning", "warning", "notice"]
    for name, expected in (("github", annotations), ("text", []), ("markdown", [])):
        ended = tool("plan", "--format", name)
        assert (commands(ended.stdout), commands(ended.stderr)) == (expected, [])
