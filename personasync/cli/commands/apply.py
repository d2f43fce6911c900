"""``personasync apply``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import click

from personasync.api.key import FILE_VARIABLE, KEY_VARIABLE
from personasync.cli import planfile
from personasync.cli.apis import Apis, Timeouts, open_apis, require_key
from personasync.cli.console import Console, approve
from personasync.cli.group import Command
from personasync.cli.leaving import leave
from personasync.cli.manifests import plan_with_sources
from personasync.cli.options import (
    DURATION,
    RATE,
    TIMEOUT,
    api_options,
    as_one,
    format_option,
    lock_option,
    option,
    shared_options,
)
from personasync.cli.planning import (
    Outputs,
    Selection,
    annotating,
    check_outputs,
    output_options,
    selection_options,
    show_plan,
)
from personasync.cli.progress import Telling
from personasync.cli.report import Report
from personasync.cli.session import remember
from personasync.cli.states import locked, missing_state, read_log, state_log
from personasync.cli.workspace import Workspace
from personasync.engine import DEFAULT_RATE, ApplyOptions, Checked, apply
from personasync.engine.events import Account
from personasync.model.errors import PlanError, StateError, UsageError
from personasync.model.outcome import Outcome
from personasync.model.persona import Manifest, PersonaRequest, Settings
from personasync.model.spelling import counted
from personasync.model.steps import NextStep
from personasync.model.units import Rate
from personasync.plan.compute import SPENDING, ActionKind, Plan
from personasync.plan.preflight import Verdict
from personasync.render.diagnostics import render_github
from personasync.render.diagnostics import render_text as render_diagnostics
from personasync.render.plan import render_text
from personasync.render.safe import printable
from personasync.state import State, StateLog
from personasync.state.log import Leased

if TYPE_CHECKING:
    from personasync.plan.saved import Document

DEFAULT_PARALLELISM: Final = 4

_NAMED_FILES: Final = 2


@dataclass(frozen=True, slots=True)
class _Pace:
    """The options for how fast an apply goes, and how long it tries again."""

    parallelism: int | None
    rate_limit: tuple[Rate | None] | None
    retry_for: float

    def options(self, settings: Settings) -> ApplyOptions:
        """Settle each setting: the option, else the manifest's, else the default."""
        rate = self.rate_limit[0] if self.rate_limit else settings.rate_limit or DEFAULT_RATE
        return ApplyOptions(
            parallelism=self.parallelism or settings.parallelism or DEFAULT_PARALLELISM,
            rate=rate,
            retry_for=self.retry_for,
            handle_signals=True,
        )


_pace_options: Final = as_one(
    "pace",
    _Pace,
    option(
        "--parallelism",
        type=click.IntRange(1, 64),
        metavar="N",
        help=f"Requests at a time.  [default: {DEFAULT_PARALLELISM}]",
    ),
    option(
        "--rate-limit",
        type=RATE,
        metavar="RATE",
        help=f"Most requests, or none.  [default: {DEFAULT_RATE}]",
    ),
    option(
        "--retry-for",
        type=DURATION,
        default="2m",
        show_default=True,
        help="Time without a usable answer.",
    ),
)
_SECONDS: Final[dict[str, Any]] = {"type": TIMEOUT, "show_default": True}
_timeout_options: Final = as_one(
    "timeouts",
    Timeouts,
    option("--connect-timeout", "connect", **_SECONDS, default="10s", help="Time to connect."),
    option("--read-timeout", "read", **_SECONDS, default="10m", help="Time for an answer."),
)


@click.command(
    cls=Command,
    variables=(KEY_VARIABLE, FILE_VARIABLE),
    epilog="\b\nExamples:\n"
    "  personasync apply                       # shows the plan and asks\n"
    "  personasync apply --auto-approve        # in CI\n"
    "  personasync apply plan.json             # what `plan --out plan.json` said\n"
    "  personasync apply --sandbox --auto-approve",
)
@click.argument("plan_file", required=False, type=click.Path(readable=False), metavar="[PLANFILE]")
@option("--auto-approve", is_flag=True, environment=False, help="Do not ask.")
@format_option(("text", "json", "github"), "text, json (events), github.")
@output_options
@_pace_options
@_timeout_options
@option("--check", is_flag=True, help="First ask what would be refused.")
@option("--wait-for-tasks", type=DURATION, help="So long, for tracks not finished; checks.")
@lock_option
@selection_options
@api_options
@shared_options
def command(
    workspace: Workspace,
    plan_file: str | None,
    auto_approve: bool,
    output_format: str,
    files: Outputs,
    pace: _Pace,
    timeouts: Timeouts,
    check: bool,
    wait_for_tasks: float | None,
    selection: Selection,
) -> int:
    """Create what is missing and record the IDs; ask first.

    Options go before the manifest's settings, and those before the defaults.
    """
    given, console = workspace, workspace.console
    with annotating(given, output_format), Telling(console, output_format == "json") as telling:
        saved = None if plan_file is None else planfile.read_plan(plan_file)
        workspace = _followed(given, saved, selection)
        manifest = planfile.load_manifest(
            workspace,
            given,
            strict=selection.refuses("warnings"),
            quiet=output_format == "github",
        )
        check_outputs(workspace, manifest, files.named())
        options, log = pace.options(manifest.settings), state_log(workspace)
        with locked(workspace, log):
            state = _read(workspace, log)
            plan = _planned(workspace, manifest, state, saved, selection)
            _show(workspace, plan, output_format)
            selection.refuse_unsafe(plan)
            _warn_if_ignored(workspace, plan)
            with _apis(workspace, manifest, plan, timeouts) as apis:
                checked = None
                if apis is not None and (check or wait_for_tasks is not None):
                    checked = _check(workspace, plan, apis, options, output_format, selection)
                    checked = replace(checked, wait_for=wait_for_tasks or 0.0)
                if plan.applicable and not auto_approve:
                    approve(_question(workspace, _asked_for(plan, checked)), to="apply")
                if isinstance(log, Leased):  # much may have happened since it was read
                    log.confirm()
                report = Report(workspace, output_format, files)
                telling.shell, telling.rate = workspace.shell, options.rate
                telling.news = None if _knows_an_id(state) else _where_ids_are(workspace, manifest)
                account = _carry_out(plan, log, apis, options, checked, telling, report)
                report.give(account)
                _end(telling, account)
                if account.complete and plan.applicable:
                    _compact(console, log)
    return account.exit_code


def _followed(given: Workspace, saved: Document | None, selection: Selection) -> Workspace:
    """Return what the options lead to, and a saved plan where there is one."""
    workspace = given
    if saved is not None:
        workspace = planfile.follow(given, saved)
        remember(workspace)
    workspace.check_options()
    if saved is not None and (selection.targets or selection.excludes):
        raise UsageError(
            "a saved plan is carried out whole: --target and --exclude do not go with it",
            hint="leave them out (PERSONASYNC_TARGET and PERSONASYNC_EXCLUDE count), and narrow"
            " the plan when it is saved",
        )
    return workspace


def _read(workspace: Workspace, log: StateLog) -> State:
    """Return the state; raises ``StateError`` rather than begin one where git has another."""
    contents = read_log(workspace, log)
    missing = missing_state(workspace, contents)
    if missing is not None:
        raise missing
    return contents.fold()


def _planned(
    workspace: Workspace,
    manifest: Manifest,
    state: State,
    saved: Document | None,
    selection: Selection,
) -> Plan:
    """Return what is to be done: just what a saved plan says, where there is one."""
    plan = plan_with_sources(manifest, state)
    if saved is not None:
        plan = planfile.check_fresh(workspace, saved, plan)
    return selection.narrow(plan)


def _carry_out(
    plan: Plan,
    log: StateLog,
    apis: Apis | None,
    options: ApplyOptions,
    checked: Checked | None,
    telling: Telling,
    report: Report,
) -> Account:
    """Do it, and tell what happens while it does."""
    with telling.listening() as listener:
        return apply(
            plan,
            log=log,
            api=apis.personas if apis is not None else _NoApi(),
            options=options,
            listener=report.hear(listener),
            checked=checked,
        )


def _show(workspace: Workspace, plan: Plan, output_format: str) -> None:
    """Show the plan where the account will be shown: with JSON, beside the events."""
    console = workspace.console
    if output_format == "github":
        show_plan(workspace, plan, output_format)
        return
    as_json = output_format == "json"
    color = console.remark_color if as_json else console.result_color
    text = render_text(plan, color=color, width=console.width, shell=workspace.shell)
    if as_json:
        console.say(text)
    else:
        console.show(text)


def _apis(
    workspace: Workspace, manifest: Manifest, plan: Plan, timeouts: Timeouts
) -> AbstractContextManager[Apis | None]:
    """Return the API that the plan needs, to be opened: a real one, the sandbox's, or none."""
    if any(action.kind in SPENDING for action in plan.actions):
        return open_apis(workspace, manifest, timeouts, name="apply")
    return nullcontext()


def _check(
    workspace: Workspace,
    plan: Plan,
    apis: Apis,
    options: ApplyOptions,
    output_format: str,
    selection: Selection,
) -> Checked:
    """Ask what can be known before anything is sent, and say it."""
    from personasync.cli.checking import run_check
    from personasync.engine.schedule import Window

    window = Window(options.rate) if options.rate else None
    check = run_check(workspace, plan, apis.tasks, window)
    strict = selection.refuses("warnings")
    if check.diagnostics and strict:
        raise PlanError(
            f"{workspace.shell.text(NextStep(strict))}: the check has something to say",
            diagnostics=check.diagnostics,
        )
    if check.diagnostics:
        console, shell = workspace.console, workspace.shell
        if output_format == "github":
            console.result(render_github(check.diagnostics, shell=shell))
        else:
            told = render_diagnostics(check.diagnostics, color=console.remark_color, shell=shell)
            console.say(told)
    return Checked(check.findings, apis.tasks.describe, window=window)


def _asked_for(plan: Plan, checked: Checked | None) -> Plan:
    """Return what of a plan can be asked for: who is refused spends nothing."""
    if checked is None:
        return plan
    waits = checked.wait_for > 0
    left_out = {
        audio_id
        for audio_id, found in checked.held.items()
        if found.verdict is Verdict.REFUSED or not waits
    }
    kept = tuple(action for action in plan.actions if action.audio_id not in left_out)
    return replace(plan, actions=kept)


class _NoApi:
    """Stands where no request will be sent."""

    def create(self, request: PersonaRequest) -> Outcome:
        raise AssertionError(f"a request that no plan asked for: {request!r}")


def _question(workspace: Workspace, plan: Plan) -> list[str]:
    """Return what somebody must know before they say yes: what is spent, where, by whose key."""
    counts = plan.counts()
    creates, resumes = counts[ActionKind.CREATE], counts[ActionKind.RESUME]
    about = [f"  state   {printable(workspace.location)}"]
    if creates or resumes:
        spent = counted(creates, "audio")
        if resumes:
            spent += f", and {counted(resumes, 'audio')} whose persona may exist already"
        key = None if workspace.sandbox else require_key(workspace, "apply")
        api = "the sandbox, on this machine" if workspace.sandbox else workspace.api
        about = [f"  spends  {spent}", f"  API     {printable(api)}", *about]
        if key is not None and key.last_four is not None:
            about.append(f"  key     ends in {key.last_four}")
    return [*about, "Apply this plan? Each audio can make a persona only once."]


def _knows_an_id(state: State) -> bool:
    return any(entry.ids for entry in state.entries.values())


def _where_ids_are(workspace: Workspace, manifest: Manifest) -> NextStep:
    """Say, the first time there are IDs, where they are."""
    path = workspace.state_path
    if workspace.sandbox or path is None:
        return NextStep(f"The IDs are in {printable(workspace.location)}.")
    files = [printable(name) for name in manifest.files]
    if len(files) > _NAMED_FILES:
        files = [f"the {counted(len(files), 'file')} of the manifest"]
    with_it = f", together with {' and '.join(files)}" if files else ""
    return NextStep(
        f"The IDs are in {printable(str(path))}, the only copy there is: commit it{with_it}."
    )


def _warn_if_ignored(workspace: Workspace, plan: Plan) -> None:
    """Say that no commit will ever hold the IDs, before there are any."""
    from personasync.state.git import ignored  # nothing else needs to start git

    path = workspace.state_path
    if path is not None and plan.applicable and not workspace.sandbox and ignored(path):
        workspace.console.complain(
            f"Warning: git ignores {printable(str(path))}, the only copy of its IDs: take it out of"
            " .gitignore (git check-ignore -v names the line), and commit it."
        )


def _end(telling: Telling, account: Account) -> None:
    """Deal with a run that did not end in order; its account has been given."""
    if account.failure is not None:
        with suppress(OSError):  # a terminal that was closed; the exit code tells the rest
            telling.complain(account)
    if account.abandoned:
        leave(account.exit_code)
    if account.failure is not None and account.signal is None:
        raise account.failure


def _compact(console: Console, log: StateLog) -> None:
    try:
        log.compact()
    except StateError as error:
        console.complain(
            f"Warning: {error.message}. Every ID is recorded; only tidying the file up failed."
        )
