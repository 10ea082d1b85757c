"""`scopeline apply`: the plant folder in force for the whole cluster."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from scopeline.cli.cluster import problems, settings_of
from scopeline.cli.options import Json, Plant, as_options, counted, fail, inert, to_json
from scopeline.query import QueryError, instant

WAIT = 600.0


def command(
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME", help="Refuse when figures before this time would change: what was reported stands."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what changes.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Publish although somebody else has published since this edit began.")
    ] = False,
    onto: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="The version that this folder was edited on; default: the last one applied here."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until all workers have changed over.")] = True,
    seconds: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait.")] = WAIT,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Check the plant folder, say what it changes, publish it for all workers, and wait until they have changed over.

    The workers recompute what an edit changes, from the log or the archive. Figures are a function of all messages and this
    folder, so an undated edit changes the past, too: `--from` refuses that. Secrets are never published: each machine has its
    own. Applying the same folder again changes nothing.

    **Examples**

    ```sh
    scopeline apply --plant works --dry-run
    scopeline apply --plant works --from 2026-04
    ```
    """
    from scopeline.catalogue import catalogue
    from scopeline.check import check
    from scopeline.cluster import differences as edits
    from scopeline.cluster.plant_topic import PlantTopicError, newest, publish
    from scopeline.plant import fingerprint
    from scopeline.tokens import STATE

    folder, settings = settings_of(plant, "kafka")
    kafka = settings.kafka
    assert kafka
    checked, found = check(folder)
    if checked is None:
        fail("\n".join(str(p) for p in found if p.severity == "error") + "\nNothing was published.", 1)
    limit = _limit(start, settings.sites[0].timezone)
    note = folder / STATE / "applied"
    with problems():
        old = newest(kafka, folder)
        changes = edits.differences(_loaded(old), checked, catalogue())
        same = old is not None and old.fingerprint == fingerprint(folder)
        if not json:
            _say(changes, old, same)
        early = edits.before(changes, limit) if limit else []
        if early and old:
            fail(_too_early(early, start), 1)
        if dry_run:
            if json:
                to_json({"in_force": old.version if old else None, "changes": edits.rows(changes)})
            return
        if onto is None and note.is_file():
            onto = note.read_text().strip()
        try:
            now, fresh = publish(kafka, folder, onto=onto, force=force)
        except PlantTopicError as problem:
            fail(f"{problem}\nNothing was published.", 1)
        note.parent.mkdir(exist_ok=True, mode=0o700)
        note.write_text(now.version + "\n")
        if not json:
            typer.echo(
                f"Published as version {now.version}." if fresh else f"Version {now.version} is in force; nothing changes."
            )
        state = _wait(kafka, folder, now.version, seconds, json) if wait else None
        if json:
            done = {"complete": state.complete, "waiting": state.waiting, "workers": state.members} if state else None
            to_json({"version": now.version, "published": fresh, "changes": edits.rows(changes), "workers": done})
    if state and not state.complete:
        raise typer.Exit(1)


def _limit(start: str | None, zone: str) -> Any:
    try:
        return instant(start, "from", zone) if start else None
    except QueryError as error:
        fail(as_options(str(error)), 2)


def _loaded(old: Any) -> Any:
    """The plant of a published version; None where it cannot be read here any more."""
    import tempfile

    from scopeline.cluster.plant_topic import unpack
    from scopeline.plant import load

    if old is None:
        return None
    with tempfile.TemporaryDirectory(prefix="scopeline-") as place:
        return load(unpack(old, Path(place)))[0]


def _say(changes: list[Any], old: Any, same: bool) -> None:
    from scopeline.cluster.differences import told

    if same:
        return
    if old:
        typer.echo(f"In force: version {old.version}, published by {inert(old.by)} at {old.published_at:%Y-%m-%d %H:%M} UTC.")
    else:
        typer.echo("No version is in force yet.")
    for one in changes:
        line = ", ".join(part for part in (told(one.since) if one.what == "source" else "", inert(one.detail)) if part)
        typer.echo(f"  {' '.join(filter(None, (one.what, inert(one.name))))}: {one.change}" + (f", {line}" if line else ""))
    if not changes:
        typer.echo("  comments or the order of files only: no figure changes")


def _too_early(early: list[Any], start: str | None) -> str:
    from scopeline.cluster.differences import told

    named = "; ".join(f"{one.what} {one.name} {told(one.since)}" for one in early[:5]) + ("; ..." if len(early) > 5 else "")
    return (
        f"This edit changes figures before --from {start}: {named}. Date it in the plant folder (valid_from, a new row, a "
        "new feed), or leave --from out. Nothing was published."
    )


def _wait(kafka: Any, folder: Path, version: str, seconds: float, json: bool) -> Any:
    from scopeline.cluster.progress import progress

    end, told = time.monotonic() + seconds, -1
    while True:
        state = progress(kafka, folder, version)
        if len(state.done) != told and not json:
            told = len(state.done)
            typer.echo(f"{told} of {told + len(state.waiting)} partitions have changed over.")
        if state.complete or time.monotonic() >= end or not state.members:
            break
        time.sleep(1)
    if not state.complete:
        left = ", ".join(f"{number} ({holds or 'never processed'})" for number, holds in sorted(state.waiting.items()))
        why = f"{counted(state.members, 'worker')} at work" if state.members else "no worker runs"
        remedy = (
            "They go on by themselves; ask again with `scopeline apply`."
            if state.members
            else "Start `scopeline run --role process`."
        )
        typer.echo(f"Not yet changed over, {why}: partitions {left}. {remedy}", err=True)
    return state
