"""Own factors: exact, strictly dated, one gas a row."""

from datetime import date
from fractions import Fraction

import pytest

from schemas.tables import OwnFactor
from scopeline.catalogue import catalogue


def row(gas="CO2e", value="0.4585", **more):
    given = {"factor_id": "works-grid", "activity": "Grid electricity", "unit": "kg", "per_unit": "kWh", "citation": "data set"}
    return OwnFactor(**given | {"gas": gas, "value": value} | more)


def resolve(*rows, name="own/works-grid"):
    return catalogue().resolve({"id": name}, pins={}, own=rows)


def test_the_row_of_the_manual():
    found = resolve(
        row(region="KR", boundary="generation", valid_from=date(2018, 1, 1), published=date(2018, 1, 1), uncertainty_pct="5")
    )
    ((span),) = found.spans
    factor = span.factor
    assert (factor.id, factor.version, factor.per_unit, factor.gases) == (
        "own/works-grid",
        "2018-01-01",
        "kWh",
        {"unsplit": Fraction("0.4585")},
    )
    assert factor.uncertainty_pct == 5 and factor.gwp_set is None and catalogue().derived(factor) == []


def test_valid_from_and_to_are_inclusive_and_strict():
    found = resolve(row(valid_from=date(2025, 3, 1), valid_to=date(2025, 3, 31)), row(value="0.5", valid_from=date(2025, 4, 2)))
    days = {
        day: found.at(day) for day in (date(2025, 2, 28), date(2025, 3, 1), date(2025, 3, 31), date(2025, 4, 1), date(2025, 4, 2))
    }
    assert [f and float(f.gases["unsplit"]) for f in days.values()] == [None, 0.4585, 0.4585, None, 0.5]


def test_gases_units_and_basis():
    found = resolve(
        row("CO2", "56.1", unit="t", per_unit="TJ", basis="net"),
        row("CH4", "1000", unit="g", per_unit="TJ", basis="net"),
        row("HFC-134a", "1", unit="mg", per_unit="TJ", basis="net"),
        row("CO2_biogenic", "2", unit="t", per_unit="TJ", basis="net"),
    )
    factor, kwh = found.spans[0].factor, Fraction(10**9, 3600)
    assert factor.per_unit == "kWh_net" and set(factor.gases) == {"CO2", "CH4", "HFC134a", "CO2_biogenic"}
    assert (
        factor.gases["CO2"] == 56100 / kwh
        and factor.gases["CH4"] == 1 / kwh
        and factor.gases["HFC134a"] == Fraction(1, 10**6) / kwh
    )


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((row(), row(value="0.5")), "stated twice"),
        ((row(gas="CO3"),), "not known"),
        ((row(unit="l"),), "no mass"),
        ((row(unit="ton"),), "short_ton"),
        ((row(per_unit="gallon"),), "us_gallon"),
        ((row(valid_from=date(2025, 1, 1)), row(value="1", valid_from=date(2025, 6, 1))), "end the earlier"),
        ((row(factor_id="other"),), "own/other"),
        ((), "factors/*.csv"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(rows, says):
    found = resolve(*rows)
    assert not found.spans and says in found.problem


def test_own_factors_are_found_by_search_and_shown():
    found = catalogue().search("grid electricity works", own=[row()])
    assert found[0].id == "own/works-grid"
    assert [
        f.version for f in catalogue().show("own/works-grid", [row(valid_from=date(2025, 1, 1), valid_to=date(2025, 12, 31))])
    ] == ["2025-01-01"]
