"""`scopeline init DIR`: a new plant folder with comments."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.options import fail, myself
from scopeline.plant.schemas import FOLDER, write

TEMPLATE = files("scopeline") / "templates" / "plant"
RENAMED = {"gitignore": ".gitignore"}
"""Template files whose names would hide them from packaging."""


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new plant folder; must be empty or not there.")],
) -> None:
    """Write a new plant folder: a small plant that passes `scopeline check`, with comments on what else there is.

    **Example**

    ```sh
    scopeline init works
    ```
    """
    if folder.exists() and not folder.is_dir():
        fail(f"{folder}: is a file. Name a new folder.", 2)
    if folder.is_dir() and any(folder.iterdir()):
        fail(f"{folder}: is not empty, and nothing in it will be overwritten. Name a new folder, or empty this one.", 2)
    try:
        create(folder)
    except OSError as error:
        fail(f"{folder}: cannot be written ({error.strerror}). Name a folder that this user may write.", 2)
    typer.echo(steps(folder))


def create(folder: Path) -> None:
    """Copies the template and writes the JSON Schemas that its first lines name."""
    with as_file(TEMPLATE) as template:
        for source in sorted(path for path in template.rglob("*") if path.is_file()):
            target = folder / source.relative_to(template).with_name(RENAMED.get(source.name, source.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    write(folder / FOLDER)


def steps(folder: Path) -> str:
    """What to do next."""
    scopeline = myself()
    payload = '{"time": "2026-01-01T00:00:00Z", "energy_kwh": 1234.5, "power_w": 800}'
    return f"""Wrote a plant folder: {folder}

Next:
  1. Say who and where you are     {folder}/plant.yaml
  2. Say how to read your topics   {folder}/feeds/energy.yaml
  3. Say what emits                {folder}/sources/works.yaml
  4. See whether it fits together  {scopeline} check --plant {folder}
  5. See what a message would give
     echo '{payload}' | \\
       {scopeline} try --plant {folder} --topic acme/works/main/energy --payload -
  6. Run it                        {scopeline} run --plant {folder}"""
