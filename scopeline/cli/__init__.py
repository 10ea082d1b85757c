"""The `scopeline` command: one file a command, listed in COMMANDS."""

import importlib
import logging
import os
import sys
import threading
from contextlib import suppress
from importlib import metadata
from typing import Annotated

import typer
from typer.core import TyperGroup

from scopeline.logs import setup_command

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
    "setup": "scopeline.cli.setup",
    "apply": "scopeline.cli.apply",
    "archive": "scopeline.cli.archive",
    "feeds": "scopeline.cli.feeds",
    "meters": "scopeline.cli.meters",
    "grafana": "scopeline.cli.grafana",
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
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
            app.command(name)(found)
            found = app
        made = typer.main.get_command(found)
        made.name = name  # a group does not know its own
        return made


_EXTRA = {"kafka", "influxdb_client", "grafana_client", "grafana_foundation_sdk"}
"""Modules that the extra `cluster` brings."""

app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(asked: bool) -> None:
    if asked:
        try:
            typer.echo(f"scopeline {metadata.version('scopeline')}")
        except metadata.PackageNotFoundError:
            typer.echo("scopeline, from a folder that is not installed")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Carbon telemetry that runs live from the sensor to the report and proves every figure.

    New here? `scopeline demo` shows it with real telemetry; `scopeline init DIR` makes a plant folder of your own.
    Each command has examples: `scopeline COMMAND --help`. Exit code 0: success, 1: a finding, 2: misuse.
    """


RUN = {"POLARS_MAX_THREADS": "1", "_RJEM_MALLOC_CONF": "dirty_decay_ms:2000,oversize_threshold:0"}
"""Settings of polars for `run`. Its work is many small steps: handing them to threads costs a tenth to a fifth more than it
saves. And batch follows batch: memory that is freed is kept for 2 s instead of 0.5, however large the piece, for to get it anew
from the system takes a sixth of a busy worker's time (options of jemalloc, https://jemalloc.net/jemalloc.3.html)."""


def command() -> int | str | None:
    """Run the command that the arguments name; its exit code."""
    if sys.argv[1:2] == ["run"]:  # before polars is loaded, which decides then
        for name, value in RUN.items():
            os.environ.setdefault(name, value)
    setup_command()
    try:
        app(prog_name="scopeline")
    except SystemExit as ended:
        return ended.code
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        remedy = "It comes with the cluster profile: pip install 'scopeline[cluster]'."
        typer.echo(f"{missing.name} is not installed. {remedy}", err=True)
        return 2
    except OSError as error:  # a full disk, a folder that must not be written: no fault of the program
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"{place}{error.strerror or error}. Look at the path, its permissions and the free space.", err=True)
        return 1
    return 0


def main() -> None:
    """Entry point: exit 0 success, 1 a finding, 2 misuse.

    Threads that still wait for a server that is down are left behind: they must not hold up the end. DuckDB's binding would
    complain of itself while the interpreter is taken down.
    """
    code = command()
    if (threading.active_count() > 1 or "duckdb" in sys.modules) and isinstance(code, int | None):
        logging.shutdown()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code)
