"""Writes docs/reference from the commands and the models, so that the pages cannot disagree with the code: `make docs`."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import polars as pl
import typer
from pydantic import BaseModel
from typer.core import TyperArgument, TyperGroup

from schemas.feed import Feed
from schemas.frames import OUTPUT, REASONS
from schemas.plant import PlantFile
from schemas.source import SCOPE_CATEGORIES, MeterRow, Source, VirtualMeter
from schemas.tables import Budget, Contract, Conversion, OwnFactor, Price, Rule
from scopeline.cli import app

NOTE = "<!-- Written by `make docs` from the code: edit the code, not this page. -->"

FILES: dict[str, type[BaseModel]] = {
    "plant.yaml": PlantFile,
    "feeds/*.yaml": Feed,
    "meters/*.csv": MeterRow,
    "meters/virtual.yaml": VirtualMeter,
    "sources/*.yaml": Source,
    "conversions.csv": Conversion,
    "factors/*.csv": OwnFactor,
    "contracts.yaml": Contract,
    "prices.csv": Price,
    "targets.yaml, budgets": Budget,
    "targets.yaml, rules": Rule,
}
"""Each file of a plant folder, and the model of one item in it."""

COLUMNS = {
    "interval_start": "start of the interval, UTC",
    "interval_end": "its end, UTC, exclusive",
    "site": "site of plant.yaml",
    "source": "what emits",
    "component": "`main`, `fuel:<name>`, `wtt`, `t_and_d`, `wtt_t_and_d`; by market: contract, `residual_mix`, `grid_average`",
    "scope": "1, 2 or 3; empty for energy_only, outside_scopes and removal",
    "category": "GHG Protocol category of the scope",
    "basis": "`location` or `market` for scope 2, else empty; the two are never added to each other",
    "method": "activity, mass_balance, spend or direct",
    "activity": "how much happened, in activity_unit; empty where unknown",
    "activity_unit": "the factor's unit, or the base unit of the dimension",
    "co2_kg": "kg of fossil CO2",
    "ch4_kg": "kg of CH4 (of the gas, not CO2e)",
    "n2o_kg": "kg of N2O (of the gas, not CO2e)",
    "hfc_co2e_kg": "kg CO2e of HFCs",
    "pfc_co2e_kg": "kg CO2e of PFCs",
    "sf6_kg": "kg of SF6",
    "nf3_kg": "kg of NF3",
    "unsplit_co2e_kg": "kg CO2e of factors that do not state gases; never rescaled to another GWP set",
    "co2e_kg": "all of the above in kg CO2e by the plant's GWP set; empty where unpriced, never 0 for unknown",
    "biogenic_co2_kg": "kg of biogenic CO2, outside the scopes and not in co2e_kg",
    "non_kyoto_co2e_kg": "kg CO2e of gases outside the Kyoto basket (CFC, HCFC), not in co2e_kg",
    "uncertainty_pct": "95 % half width, relative; empty where a part is unknown",
    "coverage": "share of the interval's time that readings span; empty for events",
    "estimated_share": "share of the amount that was spread over a gap, filled, or priced by a fallback",
    "unpriced_share": "share of the activity without a factor: co2e_kg is then an `at least`",
    "status": "`missing`, `unpriced`, `provisional`, `restated` or `final`: the first that applies",
    "factor_id": "factor used; several are joined by `;`",
    "factor_version": "version of its publication",
    "factor_age_years": "activity year less the factor's last published year, at least 0",
    "instrument": "market basis: ppa, certificate, supplier, residual_mix or grid_average",
    "gwp": "GWP set",
    "config": "hash of the parts of the plant folder that this figure reads",
}
"""What each figure column holds."""


def pages() -> dict[str, str]:
    """Every reference page: file name -> text."""
    return {
        name: "\n".join(lines()) + "\n"
        for name, lines in (("commands.md", commands), ("plant.md", plant), ("columns.md", columns))
    }


def commands() -> Iterator[str]:
    """All commands with their arguments and options, as the command line itself knows them."""
    yield from ("# Commands", "", NOTE, "")
    yield from ("Every command says `--help`. Exit code 0: success, 1: a finding, 2: misuse.", "")
    root = typer.main.get_command(app)
    for name, command in inner(root, "scopeline"):
        yield from _command(command, f"scopeline {name}", 2)


def inner(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The commands of a group, by name; nothing for a command that is no group."""
    if isinstance(command, TyperGroup):
        context = typer.Context(command, info_name=path)
        for name in command.list_commands(context):
            yield name, command.get_command(context, name)


def _command(command: Any, path: str, depth: int) -> Iterator[str]:
    parts = list(inner(command, path))
    words = [] if parts else command.collect_usage_pieces(typer.Context(command, info_name=path))
    yield from (f"{'#' * depth} `{' '.join([path, *words])}`", "", inspect.cleandoc(command.help or ""), "")
    described = [] if parts else [_parameter(p) for p in command.params if p.name != "help"]
    if described:
        yield from ("| argument | what for | default |", "| --- | --- | --- |")
        yield from (_row(*cells) for cells in described)
        yield ""
    for name, part in parts:
        yield from _command(part, f"{path} {name}", depth + 1)


def _parameter(parameter: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{o}`" for o in (*parameter.opts, *parameter.secondary_opts))
    if isinstance(parameter, TyperArgument):
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    choices = _choices(parameter.type_descriptor.annotation)
    default = parameter.default
    shown = "" if default in (None, False, (), []) or callable(default) else f"`{default}`"
    return (
        names,
        (parameter.help or "") + (f" ({', '.join(choices)})" if choices else ""),
        "required" if parameter.required else shown,
    )


def _choices(annotation: Any) -> list[str]:
    """The words that a Literal allows, optional or in a list as well.

    >>> _choices(Literal["a", "b"] | None), _choices(str)
    (['a', 'b'], [])
    """
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for part in get_args(annotation) for word in _choices(part)]


def plant() -> Iterator[str]:
    """All keys of all files of a plant folder."""
    yield from ("# The plant folder: every key", "", NOTE, "")
    yield from ("Durations: `15m`, `2h`, `400d`. Percentages: `40%`. Quantities: `3 MW`. Days: `2026-01-31`.", "")
    yield from ("## Scopes and their categories", "", "| scope | categories |", "| --- | --- |")
    yield from (f"| {scope or 'none'} | {', '.join(names)} |" for scope, names in SCOPE_CATEGORIES.items())
    yield ""
    told: set[str] = set()
    for file, model in FILES.items():
        read, shown = model.model_json_schema(), model.model_json_schema(mode="serialization")
        yield from _model(f"## {file}", read, shown)
        for name, part in read.get("$defs", {}).items():
            if "properties" in part and name not in told:
                told.add(name)
                yield from _model(f"### {name}", part, shown["$defs"][name])


def _model(title: str, schema: dict[str, Any], shown: dict[str, Any]) -> Iterator[str]:
    yield from (
        title,
        "",
        schema.get("description", "").strip(),
        "",
        "| key | what | written as | default |",
        "| --- | --- | --- | --- |",
    )
    for key, value in schema["properties"].items():
        default = "required" if key in schema.get("required", ()) else _default(shown["properties"][key].get("default"))
        yield _row(f"`{key}`", value.get("description", ""), written(value), default)
    yield ""


def _default(value: Any) -> str:
    return (
        ""
        if value in (None, [], {}, "") or isinstance(value, dict)
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )


def written(schema: dict[str, Any]) -> str:
    """How a value of this JSON Schema is written.

    >>> written({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}, {"type": "null"}]})
    'text or list of whole number'
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(written(one) for one in several if one.get("type") != "null"))
    if schema.get("type") == "array":
        return "list of " + written(schema.get("items", {}))
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return "map of " + written(inner) if isinstance(inner, dict) and inner else "map"
    return {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}.get(
        schema.get("type", ""), "any value"
    )


def columns() -> Iterator[str]:
    """All columns of a figure, and the words for what cannot be read."""
    yield from ("# Figure columns", "", NOTE, "", "| column | type | what |", "| --- | --- | --- |")
    for name, dtype in OUTPUT.items():
        yield _row(f"`{name}`", _type(dtype), COLUMNS[name])
    yield _row("`tag_<name>`", "text", "one for each tag that plant.yaml declares")
    yield from ("", "Roll-ups start with `period` (`2026`, `2026-03`, `2026-03-29`, or a local time with its offset).", "")
    yield from ("## Reasons of quarantine", "", ", ".join(f"`{reason}`" for reason in REASONS))


def _type(dtype: Any) -> str:
    if dtype == pl.String:
        return "text"
    return "UTC time" if isinstance(dtype, pl.Datetime) else "number" if dtype == pl.Float64 else "whole number"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def main(folder: Path) -> None:
    """Write all pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
