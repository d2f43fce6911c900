"""What is said of the state that a command works on."""

import pytest

from personasync.cli.console import Console
from personasync.cli.states import apply_command
from personasync.cli.workspace import Workspace
from personasync.state import Header


@pytest.mark.parametrize(
    ("workspace", "inherited", "api", "options"),
    [
        (Workspace(Console()), None, None, ()),
        (Workspace(Console()), None, "https://apibox.erweima.ai", ()),
        (Workspace(Console()), None, "https://api.example", ("--base-url", "https://api.example")),
        (Workspace(Console()), "https://api.example", "https://api.example", ()),
        (
            Workspace(Console(), base_url="https://api.example"),
            None,
            None,
            ("--base-url", "https://api.example"),
        ),
        (Workspace(Console(), sandbox=True), None, "sandbox", ("--sandbox",)),
        (
            Workspace(Console(), state="personas.sandbox.state.jsonl"),
            None,
            "sandbox",
            ("--sandbox", "--state", "personas.sandbox.state.jsonl"),
        ),
    ],
)
def test_an_apply_is_shown_with_the_api_of_the_state(
    workspace: Workspace,
    inherited: str | None,
    api: str | None,
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if inherited:
        monkeypatch.setenv("PERSONASYNC_BASE_URL", inherited)
    apply = apply_command(workspace, Header("lineage", api) if api else None)
    assert workspace.shell.line(apply).split()[2:] == list(options)
