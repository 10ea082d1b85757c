"""Units that do not exist or do not convert: refused, and the text says the remedy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.unit_table import REFUSED, REFUSED_SPELLINGS
from schemas.units import UnitProblem, convert, unit


@pytest.mark.parametrize("text", sorted({*REFUSED, *REFUSED_SPELLINGS}))
def test_names_with_several_meanings_are_refused_with_what_to_write(text):
    with pytest.raises(UnitProblem) as caught:
        unit(text)
    assert REFUSED[REFUSED_SPELLINGS.get(text, text)] in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ton/h", "short_ton"),
        ("EUR/gallon", "us_gallon"),
        ("MWH", "MWh or mWh"),
        ("mw", "MW or mW"),
        ("kWhh", "kWh"),
        ("a/b/c", "kg/kWh"),
    ],
)
def test_unknown_units_hint_at_known_ones(text, hint):
    with pytest.raises(UnitProblem) as caught:
        unit(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("a", "b", "remedy"),
    [
        ("kVAh", "kWh", "power factor"),
        ("VA", "W", "power factor"),
        ("kvarh", "kWh", "active energy"),
        ("kWh", "kWh_gross", "as the bill has it"),
        ("kWh_net", "kWh_gross", "basis"),
        ("m3", "Nm3", "conversions.csv"),
        ("m3", "kg", "density"),
        ("m3", "kWh_gross", "calorific value"),
        ("kW", "kWh", "kind:"),
        ("EUR", "USD", "prices.csv"),
        ("USD_2022", "USD", "prices.csv"),
        ("km", "vehicle_km", "different things"),
        ("kg", "piece", "different things"),
    ],
)
def test_conversions_that_do_not_exist_say_the_remedy(a, b, remedy):
    with pytest.raises(UnitProblem) as caught:
        convert(1, a, b)
    assert remedy in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_a_unit_or_a_problem_with_a_remedy(text):
    try:
        found = unit(text)
    except UnitProblem as problem:
        assert "write" in str(problem)
    else:
        assert found.factor > 0
        assert unit(found.base).factor == 1
