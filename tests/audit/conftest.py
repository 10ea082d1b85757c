"""The auditor's desk: a plant folder from plain values, `scopeline compute`, and figures as text rows; nothing of the processors.

What figures must be is calculated in each test with Fractions, from the published tables kept in factors/data/published.
"""

import csv
import gzip
import json
from collections import defaultdict
from fractions import Fraction as F
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from scopeline.cli import app

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "processors" / "factors" / "data" / "published"
OWN = "factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,gwp_set,citation"
GAS_COLUMNS = (
    "co2",
    "ch4",
    "n2o",
    "hfc_co2e",
    "pfc_co2e",
    "sf6",
    "nf3",
    "unsplit_co2e",
    "co2e",
    "biogenic_co2",
    "non_kyoto_co2e",
)


@cache
def _published(name: str) -> tuple[dict[str, str], ...]:
    with gzip.open(PUBLISHED / f"{name}.csv.gz", "rt", encoding="utf-8") as lines:
        return tuple(csv.DictReader(lines))


def _feed(unit: str, kind: str, number: int, facts: dict) -> dict:
    channel = {"channel": "x", "value": "$.v", "unit": unit, "kind": kind} | facts
    return {
        "feed": f"f{number}",
        "topic": f"{{site}}/f{number}/{{device}}",
        "decoder": "json",
        "meter": f"{{site}}/f{number}/{{device}}",
        "observed_at": {"path": "$.t", "format": "iso8601"},
        "channels": [channel],
    }


class Desk:
    """One plant: `meter` declares meters, `says` collects messages, `compute` runs the command."""

    def __init__(self, folder: Path):
        self.folder, self.lines = folder, []
        self.feeds: dict = {}
        self.topic: dict[str, str] = {}
        self.ids = 0

    def meter(self, meter: str, unit: str = "kWh", kind: str = "amount", **facts) -> str:
        """Declares `site/device`; returns its meter id. amount: events, or periods with period="1h"."""
        site, device = meter.split("/")
        if kind == "amount" and "period" not in facts:
            facts["event"] = "$.id"
        key = (unit, kind, json.dumps(facts, sort_keys=True))
        if key not in self.feeds:
            feed = _feed(unit, kind, len(self.feeds), facts)
            if site == "ref":
                feed |= {"topic": f"ref/f{len(self.feeds)}/{{device}}", "meter": "ref/{device}", "site": "ref"}
            self.feeds[key] = feed
        feed = self.feeds[key]["feed"]
        self.topic[meter] = f"{site}/{feed}/{device}"
        return f"ref/{device}:x" if site == "ref" else f"{site}/{feed}/{device}:x"

    def says(self, meter: str, at: str, value, received: str | None = None, **more) -> None:
        self.ids += 1
        payload = {"t": at, "v": value, "id": f"e{self.ids}"} | more
        line = {"topic": self.topic[meter], "payload": json.dumps(payload, default=str), "received_at": received or at}
        self.lines.append(json.dumps(line))

    def compute(self, settings, sources, *options, own=(), fails=False, **files) -> list[dict[str, str]]:
        """settings: plant.yaml; own: rows as {factor_id, gas, value ...}; files: contracts=[...]. Rows of figures as text."""
        plant = self.folder / "plant"
        for sub in ("feeds", "sources", "factors"):
            (plant / sub).mkdir(parents=True, exist_ok=True)
        (plant / "plant.yaml").write_text(json.dumps({"organisation": "Audit", **settings}))
        (plant / "feeds" / "f.yaml").write_text(json.dumps({"feeds": list(self.feeds.values())}))
        (plant / "sources" / "s.yaml").write_text(json.dumps({"sources": list(sources)}))
        names = OWN.split(",")
        facts = {"activity": "audit", "unit": "kg", "per_unit": "kWh", "gas": "CO2e", "citation": "audit"}
        rows = [OWN, *(",".join(str((facts | row).get(n, "")) for n in names) for row in own)]
        (plant / "factors" / "own.csv").write_text("\n".join(rows) + "\n")
        for name, items in files.items():
            (plant / f"{name}.yaml").write_text(json.dumps({name: items}))
        messages, out = self.folder / "messages.ndjson", self.folder / "out.csv"
        messages.write_text("".join(line + "\n" for line in self.lines))
        words = ["compute", "--plant", str(plant), "--messages", str(messages), "--out", str(out), "--strict", *options]
        done = CliRunner().invoke(app, words)
        assert (done.exit_code != 0) == fails, done.output
        if fails:
            return [{"output": done.output}]
        with out.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))


def _near(text: str, want) -> bool:
    """Equal within the rounding of a figure (1e-9 kg) and of a factor (1e-18 kg)."""
    if want is None or text == "":
        return want is None and text == ""
    got, want = F(text), F(want)
    return abs(got - want) <= F(1, 10**9) + abs(want) / 10**13


def _parts(kg: dict[str, F], ch4, n2o=273) -> dict[str, F]:
    """Columns of a figure from kg of CO2, CH4, N2O, CO2_biogenic and kg CO2e unsplit; co2e joins all but the biogenic part."""
    names = {"CO2": "co2", "CH4": "ch4", "N2O": "n2o", "unsplit": "unsplit_co2e", "CO2_biogenic": "biogenic_co2"}
    worth = {"CO2": 1, "CH4": F(ch4), "N2O": n2o, "unsplit": 1}
    found = {names[gas]: F(amount) for gas, amount in kg.items()}
    joined = [amount * worth[gas] for gas, amount in kg.items() if gas in worth]
    return found | ({"co2e": sum(joined)} if joined else {})


def _agree(row: dict[str, str], want: dict) -> list[str]:
    """What of a row differs: gases in `want` by name without `_kg` (others must be empty), other columns as text."""
    wrong = []
    for gas in GAS_COLUMNS:
        if not _near(row[f"{gas}_kg"], want.get(gas)):
            wrong.append(f"{gas}: {row[f'{gas}_kg'] or 'empty'} instead of {float(want[gas]) if gas in want else 'empty'}")
    for name, value in want.items():
        if name not in GAS_COLUMNS and row[name] != value:
            wrong.append(f"{name}: {row[name]!r} instead of {value!r}")
    return [f"{row.get('source', '')} {row.get('component', '')} {row['basis']}: {text}" for text in wrong]


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def audit() -> SimpleNamespace:
    """published(name), near(text, want), parts(kg, ch4, n2o), agree(row, want), by(rows, *columns)."""

    def by(rows, *columns):
        found = defaultdict(list)
        for row in rows:
            found[tuple(row[c] for c in columns)].append(row)
        assert all(len(same) == 1 for same in found.values()), "rows repeat a key"
        return {key if len(columns) > 1 else key[0]: same[0] for key, same in found.items()}

    return SimpleNamespace(published=_published, near=_near, parts=_parts, agree=_agree, by=by)
