"""What `scopeline feeds propose` and `scopeline meters propose` share: the messages that they look at."""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from schemas.frames import MESSAGES, empty
from schemas.plant import Plant as Folder
from scopeline.cli.options import door, existing, fail, whole_lines

Seconds = Annotated[float, typer.Option(metavar="S", min=1, max=3600, help="How long to listen at the brokers.")]
Topics = Annotated[str, typer.Option("--filter", metavar="TOPIC", help="Only these topics, with + and #.")]
Messages = Annotated[
    Path | None,
    typer.Option("--messages", metavar="FILE", help="A message file in place of listening.", exists=True, dir_okay=False),
]
_EMBEDDED = "embedded"


def loaded(plant: Path) -> tuple[Path, Folder]:
    """The plant folder as far as it can be read; leaves where plant.yaml cannot."""
    from scopeline.plant import read

    folder = existing(plant)
    found = read(folder)
    if found.readable is None:
        fail("\n".join(str(problem) for problem in found.problems if problem.severity == "error"), 1)
    return folder, found.readable


def samples(folder: Path, plant: Folder, topic: str, seconds: float, file: Path | None) -> pl.DataFrame:
    """MESSAGES: of a file; else of the plant's brokers in the next seconds; the embedded broker's are in the log."""
    from ingest import topics
    from ingest.messages_file import parse_messages
    from scopeline.broker import BrokerStart
    from scopeline.cluster.listen import ListenProblem, listen

    try:
        wanted = topics.parse(topic)
    except ValueError as problem:
        fail(f"--filter {topic}: {problem}", 2)
    outside = {name: broker for name, broker in plant.settings.brokers.items() if name != _EMBEDDED}
    if file is not None:
        found = parse_messages(file.read_bytes()).messages
    elif outside:
        typer.echo(f"Listening {seconds:g} s at {', '.join(outside)} ...", err=True)
        try:
            found = listen(outside, folder, topic, seconds)
        except (ListenProblem, BrokerStart) as problem:
            fail(str(problem), 1)
    else:
        with door(folder) as asked:
            lines = list(whole_lines(asked.lines("/messages", from_="1970", to="2262", topic=topic)))
        found = parse_messages(b"\n".join(lines) + b"\n").messages if lines else empty(MESSAGES)
    return found.filter(pl.col("topic").map_elements(lambda one: wanted.match(one) is not None, return_dtype=pl.Boolean))
