"""``personasync completion``."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from personasync.cli.group import Command

SHELLS: Final = ("bash", "zsh", "fish", "powershell")


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n"
    "  source <(personasync completion bash)    # in ~/.bashrc\n"
    '  personasync completion zsh > "${fpath[1]}/_personasync"\n'
    "  personasync completion fish > ~/.config/fish/completions/personasync.fish\n"
    "  personasync completion powershell | Out-String | Invoke-Expression",
)
@click.argument("shell", type=click.Choice(SHELLS, case_sensitive=False))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell; keys of the manifest included."""
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"there is no completion for {shell}")
    group = context.find_root().command
    click.echo(completion(group, {}, "personasync", "_PERSONASYNC_COMPLETE").source())
