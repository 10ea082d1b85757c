"""`scopeline factors`: find emission factors, and see one with its gases, citation and licence."""

import sys
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any

import typer

from processors.factors import Catalogue, Factor, MissingGwp
from processors.factors.gwp import SETS
from schemas.numeric import number_text
from schemas.tables import OwnFactor
from scopeline.catalogue import catalogue, co2e, described
from scopeline.cli.options import Json, Plant, coloured, fail, inert, table, to_json

command = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


@command.callback()
def _root() -> None:
    """Find emission factors, and see one with its gases, citation and licence.

    **Examples**

    ```sh
    scopeline factors search "natural gas" --set desnz
    scopeline factors show desnz/fuels/gaseous-fuels/natural-gas/kwh-gross
    ```
    """


def _own(plant: Path) -> tuple[OwnFactor, ...]:
    """The own factors of the plant folder, where there is one that can be read."""
    if not (plant / "plant.yaml").exists():
        return ()
    from scopeline.plant import load

    found, _ = load(plant)
    return found.own_factors if found else ()


@command.command("search")
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Words, like `natural gas` or `waste landfill`.")],
    of_set: Annotated[str | None, typer.Option("--set", metavar="S", help="Only this set, like desnz.")] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="R", help="Only this region, like GB or US-CAMX.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 20,
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """List factors that hold all the words, best first; of each the newest version. co2e_kg is at AR6, for one unit.

    **Examples**

    ```sh
    scopeline factors search "natural gas" --set desnz
    scopeline factors search electricity --region US-CA
    ```
    """
    known = catalogue()
    if of_set and of_set not in ("own", "refrigerant") and not known.versions(of_set):
        fail(f"There is no factor set {of_set!r}. There are {', '.join(sorted({s for s, _ in known.sources}))}.", 2)
    found = known.search(text, of_set=of_set, region=region, limit=limit, own=_own(plant))
    if json:
        to_json([_whole(known, factor) for factor in found])
    elif found:
        if sys.stdout.isatty():
            for factor in found:
                _listed(known, factor)
            return
        rows = [(f.id, f.version, shorten(f.table, 40), f.item, f.region, f.per_unit, _brief(known, f)) for f in found]
        table(("id", "version", "table", "item", "region", "per", "co2e_kg"), rows)
    if not found:
        fail(f"No factor holds all of {text!r}. Try fewer words, or without --set and --region.", 1)


@command.command("show")
def show(
    factor: Annotated[str, typer.Argument(metavar="ID", help="An id, like desnz/fuels/gaseous-fuels/natural-gas/kwh-gross.")],
    plant: Plant = Path("."),
    json: Json = False,
) -> None:
    """Show every version of a factor: gases, CO2e in each GWP set, validity, citation, licence, the publisher's row ids.

    The publisher's own row id finds it too: `desnz/1_100_1004_6`. Own factors are `own/<factor_id>`.

    **Examples**

    ```sh
    scopeline factors show desnz/fuels/gaseous-fuels/natural-gas/kwh-gross
    scopeline factors show own/works-grid --plant works
    ```
    """
    known = catalogue()
    found = known.show(factor, _own(plant))
    if not found:
        fail(f"There is no factor {factor!r}. `scopeline factors search WORDS` finds ids.", 1)
    if json:
        to_json([_whole(known, f) for f in found])
        return
    for one in found:
        _print(known, one)


def _listed(known: Catalogue, factor: Factor) -> None:
    """Two lines of a terminal: the id, which must be copied whole, and what it is."""
    typer.secho(inert(factor.id), bold=coloured())
    kg = _brief(known, factor)
    what = " > ".join(filter(None, (factor.table, factor.activity, factor.item)))
    about = (factor.version, factor.region, f"{kg} kgCO2e per {factor.per_unit}" if kg else f"per {factor.per_unit}", what)
    typer.echo(f"  {inert(', '.join(filter(None, about)))}")


def _print(known: Catalogue, factor: Factor) -> None:
    typer.echo(f"{inert(factor.id)}   {inert(factor.set)} {inert(factor.version)}")
    validity = f"{factor.valid_from or 'open'} to {factor.valid_to or 'open'}"
    if factor.published:
        validity += f", published {factor.published}"
    lines: list[tuple[str, Any]] = [
        ("what", " > ".join(filter(None, (factor.table, factor.activity, factor.item)))),
        ("per", factor.per_unit),
        ("region", factor.region),
        ("boundary", factor.boundary),
        ("valid", validity),
    ]
    for gas, kg in factor.gases.items():
        name = f"CO2e at {factor.gwp_set or 'a GWP set that is not stated'}, not split into gases" if gas == "unsplit" else gas
        lines.append(("gas", f"{number_text(float(kg))} kg {name}"))
    lines += [(f"CO2e {name}", _shown(known, factor, name)) for name in reversed(SETS)]
    lines += [
        ("category 3", "; ".join(f"{part}: {f.id if f else 'missing in this version'}" for part, f in known.derived(factor))),
        ("row ids", ", ".join(factor.row_ids)),
        ("citation", factor.citation),
        ("address", factor.url),
        ("licence", factor.licence),
        ("note", factor.note),
    ]
    for label, value in lines:
        if value:
            typer.echo(f"  {label:<11}{inert(value)}")
    typer.echo("")


def _whole(known: Catalogue, factor: Factor) -> dict[str, Any]:
    return described(factor) | {"co2e_kg": {name: co2e(known, factor, name) for name in SETS}}


def _brief(known: Catalogue, factor: Factor) -> str:
    value = co2e(known, factor, "AR6")
    return "" if value is None else f"{value:.6g}"


def _shown(known: Catalogue, factor: Factor, gwp: str) -> str:
    """CO2e of one unit in words, and what of it is outside the scopes."""
    try:
        parts = known.parts(factor, gwp)
    except MissingGwp as missing:
        return str(missing).partition(":")[0]
    said = [f"{number_text(float(parts['co2e']))} kg"] if "co2e" in parts else []
    if "non_kyoto" in parts:
        said.append(f"outside the scopes {number_text(float(parts['non_kyoto']))} kg (no Kyoto gas)")
    return "; ".join(said)
