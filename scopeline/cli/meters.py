"""`scopeline meters`: rows of the meters table for devices that come and are not listed."""

from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.options import Json, Plant, counted, inert, to_json
from scopeline.cli.propose import Messages, Seconds, Topics, loaded, samples

command = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


@command.callback()
def _root() -> None:
    """Help with the meters table.

    **Examples**

    ```sh
    scopeline meters propose --plant works
    ```
    """


@command.command("propose")
def propose(
    seconds: Seconds = 30,
    topic: Topics = "#",
    every: Annotated[bool, typer.Option("--all", help="Devices of all feeds, not only of those with `meters: table`.")] = False,
    messages: Messages = None,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Print rows of meters/*.csv for devices that were heard and that no row names; writes nothing.

    Only feeds with `meters: table` need rows. The meter is the device's own name until you give it a place; say valid_from,
    and for a replacement first_reading and last_reading. With the embedded broker the log is looked at instead of listening.

    **Examples**

    ```sh
    scopeline meters propose --plant works --seconds 60
    scopeline meters propose --plant works --all > new-rows.csv
    ```
    """
    from scopeline.cluster.propose_rows import ROW, missing_rows

    folder, found = loaded(plant)
    heard = samples(folder, found, topic, seconds, messages)
    rows = missing_rows(heard, found, every)
    if json:
        to_json(rows)
    elif rows:
        tags = "".join(f",{tag}" for tag in found.settings.tags)
        typer.echo(ROW + tags)
        for row in rows:
            cells = [row["feed"], row["device"], "", row["meter"], row["site"], "", "", "", "", "", "", ""]
            typer.echo(",".join(_cell(inert(cell)) for cell in cells) + "," * len(found.settings.tags))
        typer.echo(f"{counted(len(rows), 'device')} not listed.", err=True)
    else:
        typer.echo(f"{counted(heard.height, 'message')} heard; every device is listed.", err=True)


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"') else text
