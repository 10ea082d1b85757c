"""`check` of meters, virtual meters, own factors, contracts and what later versions compute."""

import pytest

WIND = "wind,Wind,GB,2,CO2e,0,kg,kWh,,generation,,,,,,none\n"
CONTRACT = """\
contract: wind
site: works
kind: ppa
covers: {share: 40%}
matching: hourly
factor: {id: own/wind}
valid_from: 2026-01-01
valid_to: 2026-12-31
evidence: {registry: R}
"""


@pytest.mark.parametrize(
    ("old", "new", "severity", "key", "text"),
    [
        ("", "", None, "", ""),
        ("{share: 40%}", "{share: 40%, volume: 1 GWh}", "error", "covers", "one of"),
        ("{share: 40%}", "{}", "error", "covers", "one of"),
        ("{share: 40%}", "{volume: 12 t}", "error", "covers.volume", "12 GWh"),
        ("{share: 40%}", '{meter: "works/ppa:gas"}', "error", "covers.meter", "different things"),
        ("{share: 40%}", '{meter: "works/ppa:power"}', None, "", ""),
        ("{share: 40%}", '{meter: "works/ppa:none"}', "error", "covers.meter", "channels of"),
        ("own/wind", "own/wnd", "error", "factor", "own/wind"),
        ("site: works", "site: work", "error", "site", "did you mean works?"),
        ("valid_to: 2026-12-31", "valid_to: 2025-12-31", "error", "valid_to", "exchange"),
        ("evidence: {registry: R}", "", "warning", "evidence", "unproven"),
        ("matching: hourly", "matching: annual", "note", "matching", "not computed yet"),
    ],
)
def test_contracts(works, old, new, severity, key, text):
    found = works.problems(
        {"factors/own.csv": works.OWN + WIND} | {"contracts.yaml": CONTRACT.replace(old, new, 1) if old else CONTRACT}
    )
    assert [problem.severity for problem in found] == ([severity] if severity else []), "\n".join(map(str, found))
    if severity:
        assert found[0].key == key and text in f"{found[0].message} {found[0].remedy}"


ROW = "feed,device,channel,meter,site,name,unit,scale,valid_from,valid_to,first_reading,last_reading,line\n"


@pytest.mark.parametrize(
    ("rows", "key", "text"),
    [
        (
            "plugs,d1,,works/press/a,works,,,,2026-01-01,2026-02-01,,9,L1\nplugs,d2,,works/press/a,works,,,,2026-02-01,,0,,L1\n",
            None,
            "",
        ),
        ("plgus,d1,,works/press/a,works,,,,,,,,\n", "feed", "did you mean plugs?"),
        ("plugs,d1,,works/press/a,depot,,,,,,,,\n", "site", "correct one"),
        ("plugs,d1,,wroks/press/a,,,,,,,,,\n", "meter", "did you mean works?"),
        ("plugs,d1,,works/press/a:energy,,,,,,,,,\n", "meter", "site/path"),
        ("plugs,d1,,works/press/a,,,ton,,,,,,\n", "unit", "short_ton"),
        ("plugs,d1,,works/press/a,,,,,2026-01-01,2025-01-01,,,\n", "valid_to", "exchange"),
        ("plugs,d1,,works/press/a,,,,,soon,,,,\n", "valid_from", "2026-03-01"),
        ("plugs,d1,,works/press/a,,,,,,,,,\nplugs,d2,,works/press/a,,,,,2026-01-01,,,,\n", "valid_from", "end line 2"),
        ("main,d1,,works/x,,,,,2026-01-01,,5,,\n", "channel", "fill channel"),
        ("main,d1,nope,works/x,,,,,,,,,\n", "channel", "channels"),
        ("plugs,d1,,works/press/a,,,,0,,,,,\n", "scale", "like 10"),
        ("plugs,d1,,works/press/a,,,,-1,,,,,\n", "scale", "decrease: net"),
        ("main,d1,energy,works/x,,,,-1,,,,,\n", "scale", "- [meter]"),
        ("main,d1,power,works/x,,,,-1,,,,,\n", None, ""),
    ],
)
def test_the_meters_table(works, rows, key, text):
    found = works.problems({"meters/m.csv": ROW + rows})
    errors = [problem for problem in found if problem.file == "meters/m.csv"]
    assert ([problem.key for problem in errors] == [key]) if key else found == [], "\n".join(map(str, found))
    assert not key or (text in errors[0].remedy and errors[0].line)


def test_a_column_that_is_no_tag(works):
    problem = works.one({"meters/m.csv": ROW.replace(",line", ",lines") + "plugs,d1,,works/press/a,,,,,,,,,L1\n"}, "lines")
    assert problem.remedy == "did you mean line?"


def test_a_feed_that_reads_an_empty_table(works):
    feed = 'feed: t\ntopic: "t/{device}"\ndecoder: tasmota\nmeters: table\nsite: works\n'
    assert "add rows" in works.one({"feeds/t.yaml": feed}, "meters").remedy


def test_virtual_meters_are_meters(works):
    virtual = 'virtual_meters: [{meter: "works/net:energy", unit: kWh, is: "[works/main:energy] - [works/b:energy]"}]\n'
    sources = works.SOURCES.replace("works/main:energy", "works/net:energy")
    assert works.problems({"meters/v.yaml": virtual, "sources/sources.yaml": sources}) == []
    wrong = virtual.replace("[works/b:energy]", "[works/b:enrgy]")
    assert "did you mean energy?" in works.one({"meters/v.yaml": wrong}, "virtual_meters[0].is").remedy
    circle = virtual.replace("[works/b:energy]", "[works/net:energy]")
    assert "itself" in works.one({"meters/v.yaml": circle}, "virtual_meters[0].is").message


@pytest.mark.parametrize(
    ("row", "key", "text"),
    [
        ("f,A,,1,CO2e,1,kg,kWh,gross,,,,,,,c", None, ""),
        ("f,A,,1,CO3,1,kg,kWh,,,,,,,,c", "factor_id", "write CO2"),
        ("f,A,,1,CO2e,1,l,kWh,,,,,,,,c", "factor_id", "no mass"),
        ("f,A,,1,CO2e,1,kg,kW,,,,,,,,c", "per_unit", "kWh"),
        ("f,A,,1,CO2e,1,kg,gallon,,,,,,,,c", None, "us_gallon"),
        ("f,A,,1,CO2e,1,kg,kWh,,,2026-02-01,2026-01-01,,,,c", "valid_to", "exchange"),
        ("f,A,,1,CO2e,1,kg,kWh,,,,,,AR7,,c", "gwp_set", "AR6"),
        ("f,A,,1,CO2,1,kg,kWh,,,,,,,,c\nf,A,,1,CO2,2,kg,kWh,,,,,,,,c", "factor_id", "twice"),
    ],
)
def test_own_factors(works, row, key, text):
    found = works.problems({"factors/own.csv": works.OWN + row + "\n"})
    if not text:
        assert found == []
        return
    assert key is None or key in {problem.key for problem in found}, "\n".join(map(str, found))
    assert any(text in f"{problem.message} {problem.remedy}" for problem in found), "\n".join(map(str, found))


def test_what_later_versions_compute_is_checked_now(works):
    head = "site,substance,quantity,value,unit,valid_from,valid_to,citation\n"
    files = {
        "conversions.csv": head + "works,Natural gas,gross_cv,11.31,kWh/m3,,,bill\n",
        "prices.csv": "currency,year,per_usd,us_price_index,citation\nEUR,2024,0.9,121,ECB\n",
        "targets.yaml": "budgets: [{budget: b, amount: 10 t, from: 2026-01-01, to: 2026-12-31}]\n"
        'rules: [{rule: r, meter: "works/main:power", above: 5, unit: kW}]\n',
    }
    found = works.problems(files)
    assert len(found) == 4 and all(problem.severity == "note" for problem in found)
    assert [("Grafana" if "Grafana" in problem.message else "later") for problem in found] == ["later"] * 2 + ["Grafana"] * 2
    wrong = {
        "conversions.csv": head + "wroks,Natural gas,gross_cv,ref/x:cv,kg,,,bill\n",
        "prices.csv": "currency,year,per_usd,us_price_index,citation\nEUX,2024,0,121,ECB\nEUR,2024,1,1,c\nEUR,2024,1,1,c\n",
        "targets.yaml": "budgets: [{budget: b, site: x, amount: 10 kWh, from: 2026-02-01, to: 2026-01-01}]\n"
        'rules: [{rule: r, meter: "works/main:power", unit: kWh}]\n',
    }
    keys = {(problem.file, problem.key) for problem in works.problems(wrong) if problem.severity == "error"}
    assert keys == {
        ("conversions.csv", "site"),
        ("conversions.csv", "value"),
        ("conversions.csv", "unit"),
        ("prices.csv", "currency"),
        ("prices.csv", "per_usd"),
        ("prices.csv", "year"),
        ("targets.yaml", "budgets[0].site"),
        ("targets.yaml", "budgets[0].amount"),
        ("targets.yaml", "budgets[0].to"),
        ("targets.yaml", "rules[0].rule"),
        ("targets.yaml", "rules[0].unit"),
    }


def test_targets_are_watched_by_grafana_where_there_is_one(works):
    """A rule on a virtual meter would never fire: it has no readings of its own."""
    files = {
        "meters/virtual.yaml": 'virtual_meters: [{meter: "works/net:power", unit: kW, is: "[works/main:power]"}]\n',
        "targets.yaml": 'rules: [{rule: r, meter: "works/net:power", above: 5, unit: kW}]\n',
    }
    found = works.problems(files)
    assert [(one.severity, one.key) for one in found] == [("warning", "rules[0].meter"), ("note", "rules[0].rule")]
    files["plant.yaml"] = works.PLANT + "grafana: {url: 'http://grafana:3000', token_file: secrets/grafana}\n"
    assert [(one.severity, one.key) for one in works.problems(files)] == [("warning", "rules[0].meter")]
