"""for_each, virtual meters and units of sources."""

import pytest

from processors.sources import expand

EACH = {"source": "press-{n}", "site": "works", "scope": 2, "category": "purchased_electricity", "for_each": "works/press/*:e"}
ONE = {"source": "boiler", "site": "works", "scope": 1, "category": "stationary_combustion", "measured_by": "works/boiler:gas"}
E = {"channel": "e", "unit": "MWh", "kind": "counter"}
SEEN = ["works/press/p2:e", "works/press/p1:e", "works/hall/p3:e", "works/press/p1:power"]


def test_for_each_in_order_of_meters(works):
    plant = works(E, sources=[EACH | {"measured_by": "{meter}", "name": "Press {n}"}, ONE])
    found = expand(plant, SEEN)
    assert [(s.source, s.measured_by, s.meters) for s in found] == [
        ("press-p1", "works/press/p1:e", ("works/press/p1:e",)),
        ("press-p2", "works/press/p2:e", ("works/press/p2:e",)),
        ("boiler", "works/boiler:gas", ("works/boiler:gas",)),
    ]
    assert found[0].name == "Press p1" and found[0].for_each is None
    assert expand(plant, SEEN[::-1]) == found


@pytest.mark.parametrize("text", ["0.5 * {meter}", "0.5 * [{meter}]", "0.5 * [works/press/{n}:e]"])
def test_for_each_inside_an_expression(works, text):
    (found, *_) = expand(works(E, sources=[EACH | {"measured_by": text}]), SEEN)
    assert found.measured_by == "0.5 * [works/press/p1:e]" and found.meters == ("works/press/p1:e",)


def test_virtual_meters_are_opened_and_can_be_unrolled(works):
    virtual = [{"meter": "works/press/net:e", "unit": "kWh", "is": "[works/main:e] - sum([works/press/*:e])"}]
    found = expand(works(E, sources=[EACH | {"measured_by": "{meter}"}], virtual_meters=virtual), SEEN[:1])
    assert [(s.source, s.meters) for s in found] == [
        ("press-net", ("works/main:e", "works/press/p2:e")),
        ("press-p2", ("works/press/p2:e",)),
    ]


@pytest.mark.parametrize(
    "measured_by,units,expected",
    [
        ("works/press/p1:e", {}, "kWh"),
        ("works/boiler:gas", {"works/boiler:gas": "l"}, "m3"),
        ("[works/boiler:gas] * 11.3 kWh_gross/m3", {"works/boiler:gas": "m3"}, "kWh_gross"),
        ("works/boiler:gas", {}, None),
        ("[works/boiler:gas] + [works/press/p1:e]", {"works/boiler:gas": "l"}, None),
    ],
)
def test_unit(works, measured_by, units, expected):
    (found,) = expand(works(E, sources=[ONE | {"measured_by": measured_by}]), SEEN, units)
    assert found.unit == expected


def test_unit_of_the_table_wins_over_the_channel(works):
    row = {"feed": "f", "device": "d", "meter": "works/boiler", "unit": "Nm3"}
    (found,) = expand(works({"channel": "gas", "unit": "m3", "kind": "counter"}, sources=[ONE], meters=[row]), [])
    assert found.unit == "Nm3"


def test_unreadable_expressions_stay_for_check_to_name(works):
    (found,) = expand(works(E, sources=[ONE | {"measured_by": "[oops"}]), SEEN)
    assert found.meters == () and found.measured_by == "[oops"
