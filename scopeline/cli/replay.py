"""`scopeline replay`: a range again, from log or archive."""

from pathlib import Path
from typing import Annotated, Any

import typer

from scopeline.cli.options import Json, Plant, as_options, counted, existing, fail, inert, to_json
from scopeline.query import QueryError, instant
from scopeline.remote import Failed, running


def command(
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="Inclusive: 2026-03, 2026-03-29, 2026-03-29T10:00:00Z.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Exclusive.")],
    plant: Plant = Path(),
    json: Json = False,
) -> None:
    """Read the messages of a range again, from the log or the archive, compute it again, and say what changed.

    Figures are a function of messages and plant folder, so nothing changes unless something had been wrong: then exit code 1.
    Edits of the plant folder need no replay: they are taken up by themselves.

    **Example**

    ```sh
    scopeline replay --from 2026-03 --to 2026-04
    ```
    """
    try:
        first, last = instant(start, "from"), instant(end, "to")
        if first >= last:
            raise QueryError(f"from={start} is not before to={end}", "from is inclusive, to is exclusive.")
    except QueryError as error:
        fail(as_options(str(error)), 2)
    found = _replay(existing(plant), start, end)
    if json:
        to_json(found)
    else:
        changed = f"{counted(found['readings'], 'reading')} and {counted(found['figures'], 'figure')} changed"
        typer.echo(f"{counted(found['messages'], 'message')} read again; {changed}.")
        for source, count in found["sources"].items():
            typer.echo(f"  {inert(source)}: {counted(count, 'figure')}")
    if found["readings"] or found["figures"]:
        raise typer.Exit(1)


def _replay(plant: Path, start: str, end: str) -> dict[str, Any]:
    from scopeline.log import StateError
    from scopeline.runtime import FILE, PlantInvalid, Runtime
    from scopeline.tokens import STATE

    try:
        if remote := running(plant):
            answer: dict[str, Any] = remote.post("/replay", from_=start, to=end)
            return answer
        if not (plant / STATE / FILE).exists():
            fail(f"There is no data in {plant} yet. Start `scopeline run` first.", 1)
        runtime = Runtime(plant)
        runtime.start(listen=False)
    except (Failed, PlantInvalid, StateError) as error:
        fail(str(error), 1)
    try:
        return runtime.replay(instant(start, "from"), instant(end, "to"))
    finally:
        runtime.stop()
