"""`scopeline token`: make, list and revoke API tokens."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from schemas.scalars import Duration
from scopeline.cli.options import Json, Plant, existing, fail, table, to_json
from scopeline.tokens import Tokens

command = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


@command.callback()
def _root() -> None:
    """Make, list and revoke the tokens that other machines need to ask this one.

    **Examples**

    ```sh
    scopeline token create power-bi --role read --expires 90d
    scopeline token list
    scopeline token revoke power-bi
    ```
    """


def _tokens(plant: Path) -> Tokens:
    return Tokens(existing(plant))


@command.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what uses it, like power-bi.")],
    role: Annotated[
        str, typer.Option(metavar="read|operate", help="read: see everything; operate: also send messages and redrive.")
    ],
    expires: Annotated[str, typer.Option(metavar="DURATION", help="Like 90d.")],
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Make a token. It is shown once and kept only as a hash.

    Programs send `Authorization: Bearer TOKEN`; Excel and Power BI sign in by HTTP Basic with the token as password.

    **Example**

    ```sh
    scopeline token create power-bi --role read --expires 90d
    ```
    """
    try:
        made = _tokens(plant).create(name, role, TypeAdapter(Duration).validate_python(expires), datetime.now(UTC))
    except ValidationError as error:
        fail(f"--expires: {error.errors()[0]['msg'].removeprefix('Value error, ')}", 2)
    except ValueError as error:
        fail(str(error), 2)
    to_json({"name": name, "role": role, "token": made}) if json else typer.echo(made)


@command.command("list")
def list_(plant: Plant = Path("."), json: Json = False) -> None:
    """List tokens with role and expiry; never the tokens themselves.

    **Example**

    ```sh
    scopeline token list
    ```
    """
    now = datetime.now(UTC)
    try:
        found = _tokens(plant).all()
    except ValueError as error:
        fail(str(error), 1)
    columns = ("name", "id", "role", "created_at", "expires_at")
    rows = [[*(getattr(token, column) for column in columns), "expired" if token.expired(now) else "valid"] for token in found]
    if json:
        to_json([dict(zip((*columns, "state"), row, strict=True)) for row in rows])
    elif rows:
        table(
            (*columns, "state"),
            [[*row[:3], *(f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M %Z}" for at in row[3:5]), row[5]] for row in rows],
        )
    else:
        typer.echo("No tokens. Make one with `scopeline token create NAME --role read --expires 90d`.", err=True)


@command.command("revoke")
def revoke(name: Annotated[str, typer.Argument(metavar="NAME", help="Name or id.")], plant: Plant = Path(".")) -> None:
    """Take a token out of use, at once.

    **Example**

    ```sh
    scopeline token revoke power-bi
    ```
    """
    try:
        found = _tokens(plant).revoke(name)
    except ValueError as error:
        fail(str(error), 1)
    if not found:
        fail(f"There is no token {name!r}. `scopeline token list` shows them.", 1)
    typer.echo(f"{name} is revoked.")
