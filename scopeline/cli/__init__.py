"""The `scopeline` command: one file a command, listed in COMMANDS."""

import importlib

import typer
from typer.core import TyperGroup

COMMANDS = {
    "demo": "scopeline.cli.demo",
    "init": "scopeline.cli.init",
    "check": "scopeline.cli.check",
    "try": "scopeline.cli.try_",
    "compute": "scopeline.cli.compute",
    "run": "scopeline.cli.run",
    "export": "scopeline.cli.export",
    "readings": "scopeline.cli.readings",
    "messages": "scopeline.cli.messages",
    "trace": "scopeline.cli.trace",
    "quarantine": "scopeline.cli.quarantine",
    "import": "scopeline.cli.import_",
    "replay": "scopeline.cli.replay",
    "factors": "scopeline.cli.factors",
    "token": "scopeline.cli.token",
    "doctor": "scopeline.cli.doctor",
    "bench": "scopeline.cli.bench",
}
"""Command -> module; the module's `command` is a typer.Typer app, or a function that becomes the command."""


class _Commands(TyperGroup):
    """Loads a command's module only when it is asked for, so that `scopeline try` starts fast."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        found = importlib.import_module(COMMANDS[name]).command
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
        app.command(name)(found)
        return typer.main.get_command(app)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Carbon telemetry that runs live from the sensor to the report and proves every figure.",
)


@app.callback()
def _root() -> None:
    pass


def main() -> None:
    """Entry point: exit 0 success, 1 a finding, 2 misuse."""
    app()
