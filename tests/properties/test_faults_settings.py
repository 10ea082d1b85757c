"""Settings and questions that no plant can mean are refused with the key and the remedy, before anything is computed."""

import pytest

IMPOSSIBLE = {
    "rollover_at": [0, -5, "1e300"],
    "jitter": [-1, "1e300"],
    "scale": [0, "1e300", "1e-300", "1e999999999"],
    "max_rate": ["0 kW", "-3 kW", "1e300 kW"],
    "max_gap": ["0s", "99999999999d"],
    "min": ["1e400"],
    "max": ["1e400", "5 kg", "nan"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in IMPOSSIBLE.items() for value in values])
def test_numbers_that_no_device_can_have(lab, compute, key, value):
    found = compute(lab.plant({**lab.COUNTER, key: value}), [lab.said("bad", 1, 1)], code=1)
    assert f"feeds/f.yaml:1: feeds[0].channels[0].{key}" in found.said
    assert "->" in found.said


WIDE = {"rollover_at": "9e50", "jitter": "9e50", "max_rate": "9e50 MW", "max": "9e50", "min": "-9e50", "max_gap": "1000000d"}


@pytest.mark.parametrize("key", WIDE)
def test_limits_far_beyond_all_readings_limit_nothing(lab, compute, key):
    """A jitter without end makes every fall jitter; everything else is as if it were not said."""
    messages = [lab.said("bad", 15 * n, value) for n, value in enumerate([5, 7, 3, 4])]
    rows = compute(lab.plant({**lab.COUNTER, key: WIDE[key]}), messages).rows
    plain = compute(lab.plant(lab.COUNTER), messages).rows
    assert lab.activity(plain) == [2, 3, 1]
    assert lab.activity(rows) == ([2, 0, 0] if key == "jitter" else [2, 3, 1])


@pytest.mark.parametrize("wide", ["1000000d", "0s"])
def test_a_window_of_acceptance_may_be_wide_or_nothing(lab, compute, wide):
    accepted = lab.plant(lab.COUNTER, accept={"behind": wide, "ahead": wide})
    found = compute(accepted, [lab.said("bad", 15 * n, n, received=15 * n) for n in range(3)])
    assert lab.activity(found.rows) == [1, 1]


def every(base: str, lab):
    files = lab.plant(lab.COUNTER)
    return files | {"plant.yaml": files["plant.yaml"] | {"reporting": {"base_interval": base}}}


@pytest.mark.parametrize(
    ("base", "refused"), [("1h", True), ("30m", True), ("10m", True), ("4m", True), ("15m", False), ("5m", False)]
)
def test_no_interval_that_cuts_through_stored_ones(lab, compute, base, refused):
    messages = [lab.said("bad", 15 * n, n) for n in range(9)]
    found = compute(every(base, lab), messages, "--interval", "15m", code=2 if refused else 0)
    if refused:
        assert "15m is no multiple of the plant's base interval" in found.said
    else:
        assert lab.activity(found.rows) == [1] * 8
    assert sum(lab.activity(compute(every(base, lab), messages, "--interval", "1h").rows)) == 8


@pytest.mark.parametrize("base", ["7m", "90m", "1d", "0s", "1us", "1h30m", "", "1"])
def test_a_base_interval_divides_the_hour(lab, compute, base):
    found = compute(every(base, lab), [], code=1)
    assert "plant.yaml:1: reporting.base_interval" in found.said


@pytest.mark.parametrize("interval", ["base", "1h", "1d", "all"])
def test_where_nothing_is_known_there_are_no_rows(lab, compute, interval):
    """No message, no reading, one counter reading, or readings of meters that no source names."""
    for messages in (
        [],
        [lab.said("bad", 1, "null")],
        [lab.said("bad", 1, 5)],
        [lab.said("no-source", 15 * n, n) for n in range(9)],
    ):
        found = compute(lab.plant(lab.COUNTER), messages, "--interval", interval)
        assert found.rows == []
        assert b"interval_start" in found.bytes


def test_the_range_is_that_of_the_sources(lab, compute):
    """A meter that no source names does not stretch the range of a roll-up."""
    files = lab.plant(lab.COUNTER)
    files["sources/s.yaml"]["sources"][1]["valid_from"] = "2026-01-01"
    messages = [lab.said("bad", 600 + 15 * n, n) for n in range(5)] + [lab.said("no-source", 60 * n, n) for n in range(-50, 50)]
    rows = compute(files, messages, "--interval", "1h").rows
    assert {row["interval_start"] for row in rows} == {"2026-03-02T10:00:00Z"}


@pytest.mark.parametrize("expression", ["1e10 * [w/bad:e]", "[w/bad:e] / 1e-10", "[w/bad:e] * 1000000 * 1000000"])
def test_an_expression_multiplies_within_reason(lab, compute, expression):
    files = lab.plant(lab.AMOUNT)
    files["sources/s.yaml"]["sources"][0]["measured_by"] = expression.replace("1e10", "10000000000").replace(
        "1e-10", "0.0000000001"
    )
    found = compute(files, [lab.said("bad", 1, 1)], code=1)
    assert "sources[0].measured_by" in found.said
    assert "1e9" in found.said


@pytest.mark.parametrize(("value", "unit"), [("1e10", "kg"), ("1e7", "kt"), ("-1e10", "kg"), ("1e60", "g")])
def test_an_own_factor_is_within_reason(lab, compute, value, unit):
    files = lab.plant(lab.AMOUNT)
    files["factors/own.csv"] = f"factor_id,activity,gas,value,unit,per_unit,citation\nf,x,CO2,{value},{unit},kWh,a test\n"
    found = compute(files, [lab.said("bad", 1, 1)], code=1)
    assert "factors/own.csv:2: value" in found.said
    assert "1e9 kg" in found.said


def test_the_largest_readings_times_the_largest_factors_are_figures(lab, compute):
    """What `check` lets pass never leaves the numbers that a figure can hold."""
    files = lab.plant(lab.AMOUNT)
    files["factors/own.csv"] = "factor_id,activity,gas,value,unit,per_unit,citation\nf,x,CO2,1000000,kg,kWh,a test\n"
    files["sources/s.yaml"]["sources"][0] |= {"scope": 1, "category": "process", "factor": {"id": "own/f"}}
    rows = compute(files, [lab.said("bad", n / 60, "999999999999999") for n in range(100)], "--interval", "1d").rows
    assert [float(row["co2_kg"]) for row in rows if row["source"] == "bad"] == [99999999999999900 * 1e6]
