"""GWP of gases by assessment report, and compositions of refrigerants, from their published forms.

Compositions: EPA Emission Factors Hub table 12 where it has the blend, else ANSI/ASHRAE Standard 34-2019 as transcribed by
openscm-units 0.6.3 (BSD-3-Clause). A transcribed blend is taken only if it does not contradict what DESNZ publishes as its CO2e.
"""

import re
from fractions import Fraction

import polars as pl

from processors.factors.gwp import part_of
from processors.factors.importing.shapes import exact_text

GWP = {"set": pl.String, "gas": pl.String, "gwp": pl.String, "source": pl.String, "url": pl.String, "licence": pl.String}
"""One row a GWP set and gas: kg CO2e per kg over 100 years."""

BLENDS = {"refrigerant": pl.String, "gas": pl.String, "mass_pct": pl.String, "source": pl.String, "citation": pl.String}
"""One row a refrigerant and constituent; constituents without a GWP in any set are named too."""

REPORTS = ("SAR", "TAR", "AR4", "AR5", "AR6")
SPLIT_METHANE = {"CH4 (fossil)": "CH4_fossil", "CH4 (non-fossil)": "CH4"}
"""AR6 values methane by origin; its value without the split is left out."""

EPA12 = "epa_hub 2025"
ASHRAE = "ANSI/ASHRAE 34-2019"
CITATIONS = {
    EPA12: "US EPA GHG Emission Factors Hub (15 Jan 2025), table 12, blended refrigerants",
    ASHRAE: "ANSI/ASHRAE Standard 34-2019, p. 9ff, as transcribed in openscm-units 0.6.3 (BSD-3-Clause), data/mixtures.py",
}
PURE_CITATION = (
    "a single gas; designation by ANSI/ASHRAE Standard 34; its GWPs as in data/gwp.csv (globalwarmingpotentials 0.13.2)"
)
HYDROCARBONS = {"propane": "C3H8", "butane": "HC600", "isobutane": "HC600a", "isopentane": "HC601a", "propylene": "HO1270"}


def gwps(published: pl.DataFrame) -> pl.DataFrame:
    """gwp.csv -> GWP: 100-year values of the five assessment reports; CO2 is 1 by definition."""
    keep = pl.col("table").is_in([f"{report}GWP100" for report in REPORTS]) | (pl.col("table") == "AR6 GWP100")
    rows = published.filter(keep & ~((pl.col("gwp_set") == "AR6") & (pl.col("fuel_or_item") == "CH4")))
    found = rows.select(
        set="gwp_set",
        gas=pl.col("fuel_or_item").replace(SPLIT_METHANE),
        gwp="value",
        source=pl.concat_str("source", pl.lit(" "), "source_version"),
        url="url",
        licence="licence",
    )
    carbon = [dict.fromkeys(GWP, "") | {"set": r, "gas": "CO2", "gwp": "1", "source": "by definition"} for r in REPORTS]
    order = pl.col("set").replace_strict({r: i for i, r in enumerate(REPORTS)})
    return pl.concat([pl.DataFrame(carbon, schema=GWP), found.cast(dict.fromkeys(GWP, pl.String))]).sort(order, "gas")


def blends(hub: pl.DataFrame, mixtures: pl.DataFrame, desnz: pl.DataFrame, gwp: pl.DataFrame) -> pl.DataFrame:
    """Published compositions -> BLENDS: the hub's first, then the standard's that do not contradict DESNZ."""
    epa = [_epa12(item) for item in hub.filter(pl.col("activity") == "GWP blends")["fuel_or_item"]]
    known = {name for name, _ in epa}
    ashrae = [(n, c) for n, c in _mixtures(mixtures) if n not in known and agrees(n, c, desnz, gwp)]
    rows = [
        {"refrigerant": name, "gas": gas, "mass_pct": exact_text(share), "source": source, "citation": CITATIONS[source]}
        for source, found in ((EPA12, epa), (ASHRAE, ashrae))
        for name, contents in found
        for gas, share in contents.items()
    ]
    return pl.DataFrame(rows, schema=BLENDS).sort(
        pl.col("refrigerant").str.extract(r"(\d+)").cast(pl.Int32), "refrigerant", maintain_order=True
    )


def _epa12(item: str) -> tuple[str, dict[str, Fraction]]:
    name, contents = item.split(" | ")
    found = {}
    for part in contents.split(","):
        share, gas = part.strip().split("% ")
        found[_gas(gas.strip())] = Fraction(share)
    return name, found


def _gas(name: str) -> str:
    """A constituent's name as in gwp.csv.

    >>> _gas("HFC-134a"), _gas("PFC-218"), _gas("isobutane")
    ('HFC134a', 'C3F8', 'HC600a')
    """
    return HYDROCARBONS.get(name) or PFC.get(name) or name.replace("-", "")


PFC = {"PFC-14": "CF4", "PFC-116": "C2F6", "PFC-218": "C3F8", "PFC-318": "cC4F8"}
"""Names of table 11 of the hub."""


def _mixtures(mixtures: pl.DataFrame) -> list[tuple[str, dict[str, Fraction]]]:
    found: dict[str, dict[str, Fraction]] = {}
    for row in mixtures.iter_rows(named=True):
        number = re.sub(r"^[A-Z]+", "", row["mixture"])
        found.setdefault(f"R-{number.upper()}", {})[row["component"]] = Fraction(row["mass_pct"])
    return list(found.items())


def agrees(name: str, contents: dict[str, Fraction], desnz: pl.DataFrame, gwp: pl.DataFrame) -> bool:
    """Whether composition times AR5 GWP is what DESNZ publishes for the blend (Kyoto gases only), where it does.

    A blend whose constituents have a GWP in no set at all (other than hydrocarbons, ethers and HFO) is refused too.
    """
    ar5 = {row["gas"]: Fraction(row["gwp"]) for row in gwp.filter(pl.col("set") == "AR5").iter_rows(named=True)}
    if any(gas not in ar5 and not re.match(r"C\d?H|HC\d|HO\d|HCE|HFO|HCO", gas) and gas != "CO2" for gas in contents):
        return False
    wanted = f"{name.replace('-', '')} | Emissions including only Kyoto products"
    stated = desnz.filter(pl.col("fuel_or_item") == wanted)["value"]
    kyoto = sum((share * ar5[g] / 100 for g, share in contents.items() if g in ar5 and part_of(g) in ("hfc", "pfc")), Fraction(0))
    return stated.is_empty() or abs(kyoto - Fraction(stated[0])) <= 1
