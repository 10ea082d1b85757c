"""The small written values: what operators may write, and what the refusal says."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.scalars import Amount, Day, Duration, Expect, Id, Name, Number, Percent, Quantity, ShareOrMeter, Text, duration_text


def read(kind, value):
    return TypeAdapter(kind).validate_python(value)


def refusal(kind, value) -> str:
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("15m", timedelta(minutes=15)),
        ("400d", timedelta(days=400)),
        ("1.5 h", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
    ],
)
def test_durations(text, length):
    assert read(Duration, text) == length


@pytest.mark.parametrize("value", ["15", 15, "15 minutes", "1mo", "-1h", "", None, True])
def test_what_is_no_duration(value):
    assert "like 15m" in refusal(Duration, value)


def test_an_endless_duration():
    assert "too long" in refusal(Duration, "999999999999d")


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10**6)))
def test_durations_read_back(length):
    assert read(Duration, duration_text(length)) == length


@pytest.mark.parametrize(("text", "share"), [("40%", "0.4"), ("100 %", "1"), ("0%", "0"), ("12.5%", "0.125")])
def test_percentages_are_fractions(text, share):
    assert read(Percent, text) == Decimal(share)


@pytest.mark.parametrize(
    ("value", "hint"), [(40, "percent sign"), ("0.4", "percent sign"), ("140%", "40%"), ("-1%", "40%"), ("nan%", "%")]
)
def test_what_is_no_percentage(value, hint):
    assert hint in refusal(Percent, value)


@pytest.mark.parametrize("value", [True, 12, 1.5, Decimal("1.5")])
def test_text_must_be_quoted(value):
    assert "quote it" in refusal(Text, value)


def test_ids_and_names():
    assert read(Id, "press-7") == "press-7" and read(Name, "active_power") == "active_power"
    for kind, value in ((Id, "Press"), (Id, "a_b"), (Id, "-a"), (Id, ""), (Name, "a-b"), (Name, "ä"), (Id, "a\n")):
        assert "use lower-case letters" in refusal(kind, value)


def test_quantities_keep_number_and_unit():
    assert read(Amount, "3 MW") == Quantity(Decimal(3), "MW")
    assert read(Amount, "-5%") == Quantity(Decimal(-5), "%")
    assert read(Amount, 10) == Quantity(Decimal(10), "")
    for value in ("MW", "", True, [], "1.2.3 kW"):
        assert "write a number" in refusal(Amount, value)


def test_numbers_are_exact_and_finite():
    assert read(Number, "0.1") == Decimal("0.1") and read(Number, 0.1) == Decimal("0.1")
    assert "point" in refusal(Number, "12,5")
    for value in ("nan", "inf", "x", None, True):
        assert "number" in refusal(Number, value)


def test_days():
    assert read(Day, "2026-02-28") == date(2026, 2, 28)
    for value in ("2026-02-30", "20260228", 20260228, "2026-02-28T00:00", "28.02.2026"):
        assert "year-month-day" in refusal(Day, value)


def test_a_share_or_a_meter():
    assert read(ShareOrMeter, "10%") == Decimal("0.1")
    assert read(ShareOrMeter, "works/mixer:bio") == "works/mixer:bio"
    assert "quote" in refusal(ShareOrMeter, 10)


def test_expected_periods():
    assert read(Expect, "1mo") == "1mo" and read(Expect, "1d") == "1d" and read(Expect, "8h") == timedelta(hours=8)
    assert "1d, 1mo or 1y" in refusal(Expect, "2mo")
