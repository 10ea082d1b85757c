"""`scopeline feeds`: feed files for what comes and nobody reads."""

from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.options import Json, Plant, counted, inert, to_json
from scopeline.cli.propose import Messages, Seconds, Topics, loaded, samples

command = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


@command.callback()
def _root() -> None:
    """Help with feeds.

    **Examples**

    ```sh
    scopeline feeds propose --plant works --seconds 60
    ```
    """


@command.command("propose")
def propose(
    seconds: Seconds = 30,
    topic: Topics = "#",
    write: Annotated[bool, typer.Option("--write", help="Write feeds/<feed>.yaml; a file that is there stays.")] = False,
    messages: Messages = None,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Listen at the plant's brokers and propose feed files for messages that no feed reads yet.

    Topics are grouped into patterns with captures, formats are recognised by Scopeline's own decoders, and each proposal is tried
    on what was heard. Units are proposed where a format or a name says them; the rest is yours: a channel is a level until it has
    a kind. Nothing is written without `--write`. With the embedded broker the log is looked at instead.

    **Examples**

    ```sh
    scopeline feeds propose --plant works --seconds 60 --filter "acme/#"
    scopeline feeds propose --plant works --messages heard.ndjson --write
    ```
    """
    from scopeline.cluster import propose as proposing

    folder, found = loaded(plant)
    heard = samples(folder, found, topic, seconds, messages)
    proposals, unread = proposing.propose(heard, found)
    written = {one.feed: _written(folder, one.feed, one.text) for one in proposals} if write else {}
    if json:
        to_json(
            {
                "messages": heard.height,
                "proposals": [{**one._asdict(), "written": written.get(one.feed)} for one in proposals],
                "unrecognised": [one.topic for one in unread],
            }
        )
    else:
        for one in proposals:
            gives = f"gives {counted(one.readings, 'reading')}" if one.problem is None else f"needs work: {inert(one.problem)}"
            typer.echo(f"# feeds/{one.feed}.yaml: {gives}\n{inert_lines(one.text)}")
        for topic_unread in unread[:20]:
            typer.echo(f"No decoder reads {inert(topic_unread.topic)} ({counted(topic_unread.messages, 'message')}).", err=True)
        for name, said in written.items():
            typer.echo(f"feeds/{name}.yaml: {said}", err=True)
        if not proposals:
            typer.echo(f"{counted(heard.height, 'message')} heard, and none that a new feed could read.", err=True)
    if not proposals:
        raise typer.Exit(1)


def inert_lines(text: str) -> str:
    """A text of several lines, without control characters of a payload."""
    return "\n".join(inert(line) for line in text.splitlines()) + "\n"


def _written(folder: Path, feed: str, text: str) -> str:
    place = folder / "feeds" / f"{feed}.yaml"
    place.parent.mkdir(exist_ok=True)
    try:
        with place.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return "is there already and stays as it is"
    return "written; now `scopeline check`"
