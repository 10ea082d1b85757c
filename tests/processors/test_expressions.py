"""Expressions: what can be read, what units allow, and what is not computed yet."""

from fractions import Fraction

import pytest

from processors.expressions import DELTA, PRODUCT, parse, substituted
from processors.formula import ExpressionProblem, matches, tree, written
from schemas.units import UnitProblem

UNITS = {
    "a:e": "kWh",
    "b:e": "MJ",
    "p:w": "MW",
    "q:w": "kW",
    "g:v": "m3",
    "n:v": "Nm3",
    "f:v": "m3/h",
    "c:x": "kg/m3",
    "t:t": "degC",
}
UNITS |= {"m/1:e": "kWh", "m/2:e": "Wh", "x/1:e": "kWh", "x/2:v": "m3", "tank:l": "kg", "r:p": "%"}


def unit_of(text, known=tuple(UNITS)):
    return parse(text).unit(UNITS.__getitem__, known)


@pytest.mark.parametrize(
    "text,terms",
    [
        ("a:e", {"a:e": 1}),
        ("works/line-1/a*b:e", {"works/line-1/a*b:e": 1}),
        ("[a:e] - 0.5 * [b:e]", {"a:e": 1, "b:e": Fraction(-1, 2)}),
        ("-[a:e]", {"a:e": -1}),
        ("2*([a:e]+[b:e])/4", {"a:e": Fraction(1, 2), "b:e": Fraction(1, 2)}),
        ("[a:e]-[a:e]", {"a:e": 0}),
        ("[a-b/c:e]-[d:e]", {"a-b/c:e": 1, "d:e": -1}),
        ("50 % * [a:e]", {"a:e": Fraction(1, 2)}),
        ("[g:v] * 3.6 MJ/m3", {"g:v": 1}),
        ("[g:v] / 0.5", {"g:v": 2}),
        ("(1 + 2) * 2 * [a:e]", {"a:e": 6}),
        ("1e3 * [a:e]", {"a:e": 1000}),
    ],
)
def test_terms(text, terms):
    assert {term.meter: term.factor for term in parse(text).terms} == terms


def test_sum_is_one_term():
    (total,) = parse("sum([m/*:e]) * 2").terms
    assert (total.meter, total.total, total.factor) == ("m/*:e", True, 2)


@pytest.mark.parametrize(
    "text,base",
    [
        ("a:e", "kWh"),
        ("[a:e] + [b:e] - [p:w]", "kWh"),
        ("[f:v] + [g:v]", "m3"),
        ("[f:v] * [c:x]", "kg"),
        ("[g:v] * 11.3 kWh_gross/m3", "kWh_gross"),
        ("sum([m/*:e])", "kWh"),
        ("[a:e] * [r:p]", "kWh"),
        ("delta([tank:l])", "kg"),
        ("[a:e] / 3.6 MJ/kg", "kg"),
    ],
)
def test_unit_of_the_result(text, base):
    assert unit_of(text) == base


@pytest.mark.parametrize(
    "text,why",
    [
        ("[a:e] + [g:v]", "does not become"),
        ("[g:v] - [n:v]", "temperature and pressure"),
        ("[p:w] * [q:w]", "a rate multiplied with a rate"),
        ("[a:e] * [b:e]", "does not add up"),
        ("[t:t]", "does not add up"),
        ("sum([x/*:*])", "does not become"),
        ("sum([nothing/*:e])", "no meter matches"),
        ("2 * (3 + [a:e])", "plain number|add up"),
    ],
)
def test_units_that_do_not_fit(text, why):
    with pytest.raises((ExpressionProblem, UnitProblem), match=why):
        unit_of(text)


@pytest.mark.parametrize(
    "text,why",
    [
        ("", "no meter"),
        ("5", "no meter"),
        ("a:e + b:e", "no meter"),
        ("[a]", "no meter"),
        ("[a:e] +", "ends too early"),
        ("([a:e]", "not closed"),
        ("[a:e] [b:e]", "where a term or sign is missing"),
        ("[a:e] & [b:e]", "cannot read"),
        ("sum(m/*:e)", "no meter"),
        ("max([a:e])", "cannot read"),
    ],
)
def test_unreadable(text, why):
    with pytest.raises(ExpressionProblem, match=why):
        parse(text)


@pytest.mark.parametrize(
    "text,why", [("[a:e] / 0", "divides by zero"), ("[a:e] + 5", "cannot be added"), ("[a:e] * 3 degC", "natural zero")]
)
def test_constants_that_make_no_sense(text, why):
    with pytest.raises(ExpressionProblem, match=why):
        _ = parse(text).terms


@pytest.mark.parametrize(
    "text,reason",
    [
        ("[f:v] * [c:x]", PRODUCT),
        ("[a:e] / [b:e]", PRODUCT),
        ("5 kWh / [a:e]", PRODUCT),
        ("delta([tank:l])", DELTA),
        ("[a:e] - [b:e]", None),
    ],
)
def test_what_is_not_computed_yet_says_so(text, reason):
    assert (parse(text).computed, parse(text).reason) == (reason is None, reason)


def test_patterns_stay_within_a_level_and_take_other_signs_literally():
    assert matches("m/*:e", ["m/1:e", "m/1/2:e", "m/1:p", "xm/1:e"]) == [("m/1:e", "1")]
    assert matches("m/*/p.*:e", ["m/a/p.1:e", "m/a/px1:e"]) == [("m/a/p.1:e", "a-1")]


def test_virtual_meters_are_written_out_with_the_same_terms():
    text = substituted("[a:e] - 0.5 * [v:e]", {"v:e": "[w:e] * 0.2", "w:e": "[b:e] + sum([m/*:e])"})
    assert {term.meter: term.factor for term in parse(text).terms} == {
        "a:e": 1,
        "b:e": Fraction(-1, 10),
        "m/*:e": Fraction(-1, 10),
    }


@pytest.mark.parametrize("virtual", [{"v:e": "[v:e] + [a:e]"}, {"v:e": "[w:e]", "w:e": "2 * [v:e]"}])
def test_circles_are_errors(virtual):
    with pytest.raises(ExpressionProblem, match="circle"):
        substituted("[v:e] + [a:e]", virtual)


@pytest.mark.parametrize("text", ["[a:e] - 0.125 kWh/m3 * [g:v] / 3", "-([a:e] + sum([m/*:e]))", "[a:e] * 1e-9 - 2"])
def test_written_text_means_the_same(text):
    again = written(tree(text), {})
    try:
        expected = parse(text).terms
    except ExpressionProblem:
        with pytest.raises(ExpressionProblem):
            _ = parse(again).terms
    else:
        assert parse(again).terms == expected
