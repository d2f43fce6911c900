"""What an apply leaves in files, and in a workflow's log, beside what it says on the screen."""

from __future__ import annotations

from dataclasses import dataclass, field

from personasync.cli.planning import Outputs, write_step_summary, write_text
from personasync.cli.workspace import Workspace
from personasync.engine import Listener
from personasync.engine.events import Account, Event, EventKind
from personasync.render.events import render_json


@dataclass(frozen=True, slots=True)
class Report:
    """Gathers the events of one run for the forms in which they were asked for."""

    workspace: Workspace
    output_format: str
    files: Outputs
    _events: list[str] = field(default_factory=list)

    def hear(self, listener: Listener) -> Listener:
        """Return a listener that hands each event on, and keeps it where a file is to have it."""
        if self.files.json is None:
            return listener

        def tell(event: Event) -> None:
            if event.kind is not EventKind.WAITING:  # for who watches; nothing has happened
                self._events.append(render_json(event))
            listener(event)

        return tell

    def give(self, account: Account) -> None:
        """Write what was asked for; raises ``PersonasyncError`` where a file cannot be written."""
        shell = self.workspace.shell
        if self.files.json is not None:
            write_text(self.files.json, "".join(f"{line}\n" for line in self._events))
        if self.output_format != "github" and self.files.markdown is None:
            return
        from personasync.render.report import render_github, render_markdown  # rarely asked for

        if self.output_format == "github":
            self.workspace.console.result(render_github(account))
            write_step_summary(render_markdown(account, shell=shell))
        if self.files.markdown is not None:
            write_text(self.files.markdown, render_markdown(account, shell=shell))
