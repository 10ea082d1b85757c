"""Stamps as instants: formats, zones, and the hours that clocks repeat or skip."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import timestamps

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _one(text: str, format: str) -> datetime | None:
    utc, local = (series.item() for series in timestamps.parse(pl.Series([text], dtype=pl.String), format))
    found = utc if utc is not None else local
    return None if found is None else (EPOCH + timedelta(microseconds=found)).replace(tzinfo=UTC if utc is not None else None)


@pytest.mark.parametrize(
    ("text", "format", "expected"),
    [
        ("2026-05-01T10:00:00Z", "iso8601", "2026-05-01T10:00:00+00:00"),
        ("2026-05-01t10:00:00z", "iso8601", "2026-05-01T10:00:00+00:00"),
        ("2026-05-01 10:00:00+05:45", "iso8601", "2026-05-01T04:15:00+00:00"),
        ("2026-05-01T10:00:00-0330", "iso8601", "2026-05-01T13:30:00+00:00"),
        ("2026-05-01T10:00:00 +02", "iso8601", "2026-05-01T08:00:00+00:00"),
        ("20260501T100000Z", "iso8601", "2026-05-01T10:00:00+00:00"),
        ("2026-05-01T10:00:00.123456999Z", "iso8601", "2026-05-01T10:00:00.123456+00:00"),
        ("1969-12-31T23:59:59.9999999Z", "iso8601", "1969-12-31T23:59:59.999999+00:00"),
        ("2026-05-01T10:00", "iso8601", "2026-05-01T10:00:00"),
        ("2026-05-01", "iso8601", "2026-05-01T00:00:00"),
        ("2018-02-15T17:37:10", "iso8601", "2018-02-15T17:37:10"),
        ("1111-11-11T11:11:11Z", "iso8601", "1111-11-11T11:11:11+00:00"),
        ("2026-02-29T00:00:00Z", "iso8601", None),
        ("2026-05-01T24:00:00Z", "iso8601", None),
        ("2016-12-31T23:59:60Z", "iso8601", "2017-01-01T00:00:00+00:00"),
        ("2026-05-01T10:00:61Z", "iso8601", None),
        ("0000-05-01T10:00:00Z", "iso8601", None),
        ("2026-5-1T10:00:00Z", "iso8601", None),
        ("2026-05-01T10:00:00+24:00", "iso8601", None),
        (" 2026-05-01T10:00:00Z", "iso8601", None),
        ("٢٠٢٦-05-01T10:00:00Z", "iso8601", None),
        ("1700000000", "iso8601", None),
        ("", "iso8601", None),
        ("1700000000", "epoch_s", "2023-11-14T22:13:20+00:00"),
        ("1.320078429e+09", "epoch_s", "2011-10-31T16:27:09+00:00"),
        ("1700000000.1234567", "epoch_s", "2023-11-14T22:13:20.123456+00:00"),
        ("-0.0000001", "epoch_s", "1969-12-31T23:59:59.999999+00:00"),
        ("1668357518266", "epoch_ms", "2022-11-13T16:38:38.266000+00:00"),
        ("1668357518266001", "epoch_us", "2022-11-13T16:38:38.266001+00:00"),
        ("1653579140440951943", "epoch_ns", "2022-05-26T15:32:20.440951+00:00"),
        ("-1", "epoch_ns", "1969-12-31T23:59:59.999999+00:00"),
        ("1668357518266", "epoch_s", None),
        ("9" * 30, "epoch_ns", None),
        ("1e999999999", "epoch_s", None),
        ("NaN", "epoch_s", None),
        ("2026-05-01T10:00:00Z", "epoch_s", None),
        ("01.02.2026 03:04", "%d.%m.%Y %H:%M", "2026-02-01T03:04:00"),
        ("1.2.2026 3:04", "%d.%m.%Y %H:%M", "2026-02-01T03:04:00"),
        ("210606140010", "%y%m%d%H%M%S", "2021-06-06T14:00:10"),
        ("02/01/69 12:30:00 AM", "%m/%d/%y %I:%M:%S %p", "1969-02-01T00:30:00"),
        ("02/01/68 12:30:00 pm", "%m/%d/%y %I:%M:%S %p", "2068-02-01T12:30:00"),
        ("13:00 AM 01 Feb 2026", "%I:%M %p %d %b %Y", None),
        ("01 Feb 2026 10:00:00.5 +0200", "%d %b %Y %H:%M:%S.%f %z", "2026-02-01T08:00:00.500000+00:00"),
        ("01 Foo 2026", "%d %b %Y", None),
        ("31.02.2026", "%d.%m.%Y", None),
    ],
)
def test_formats(text, format, expected):
    timestamps.check(format, None)
    assert _one(text, format) == (None if expected is None else _at(expected))


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.sampled_from(["Z", "+05:45", "-09:30", ""]))
def test_iso_as_python_reads_it(at, zone):
    for text in (f"{at.isoformat()}{zone}", f"{at.replace(microsecond=0).isoformat(' ')}{zone}"):
        expected = datetime.fromisoformat(text)
        assert _one(text, "iso8601") == (expected.astimezone(UTC) if zone else expected)


@pytest.mark.parametrize("format", ["%H:%M", "%Y", "%d.%m.%Y %Q", "%Y-%m-%d %Y", "%Y-%m-%d %I:%M", "epoch", ""])
def test_formats_that_cannot_be_used(format):
    with pytest.raises(ValueError, match=r": |use"):
        timestamps.check(format, None)


def test_zones_that_cannot_be_used():
    for zone in ("Mars", "../etc/passwd", ""):
        with pytest.raises(ValueError, match="is no time zone: write one like"):
            timestamps.check("iso8601", zone)


def _decode(plant, messages, both_ways, site, rows, arrival, **more):
    feed = {
        "feed": "f",
        "topic": "a/{device}",
        "decoder": "json",
        "site": site,
        "each": "$[*]",
        "observed_at": {"path": "@.t", **more},
        "channels": [{"channel": "v", "value": "@.v"}],
    }
    text = "[" + ", ".join(f'{{"t": "{stamp}", "v": {n}}}' for n, stamp in enumerate(rows)) + "]"
    found = both_ways(messages({"topic": "a/x", "payload": text, "received_at": _at(arrival)}), plant(feed))
    return [at.strftime("%d %H:%M") for at in found.decoded["observed_at"]]


BERLIN = ["2026-10-25T01:30:00", "2026-10-25T02:00:00", "2026-10-25T02:30:00"]


@pytest.mark.parametrize(
    ("site", "rows", "arrival", "expected"),
    [
        # through the hour twice: first the earlier, then the later instant, whatever the arrival
        (
            "duisburg",
            [*BERLIN, "2026-10-25T02:00:00", "2026-10-25T02:30:00", "2026-10-25T03:00:00"],
            "2027-01-01T00:00Z",
            ["24 23:30", "25 00:00", "25 00:30", "25 01:00", "25 01:30", "25 02:00"],
        ),
        # newest first
        (
            "duisburg",
            ["2026-10-25T03:00:00", "2026-10-25T02:30:00", "2026-10-25T02:00:00", *BERLIN[::-1]],
            "2027-01-01T00:00Z",
            ["25 02:00", "25 01:30", "25 01:00", "25 00:30", "25 00:00", "24 23:30"],
        ),
        # the same stamp twice
        ("duisburg", ["2026-10-25T02:30:00"] * 2, "2027-01-01T00:00Z", ["25 00:30", "25 01:30"]),
        # once: the later that is not after the arrival
        ("duisburg", ["2026-10-25T02:30:00"], "2027-01-01T00:00Z", ["25 01:30"]),
        ("duisburg", ["2026-10-25T02:30:00"], "2026-10-25T01:29Z", ["25 00:30"]),
        # both after the arrival: the earlier
        ("duisburg", ["2026-10-25T02:30:00"], "2026-10-25T00:00Z", ["25 00:30"]),
        # an hour that is skipped: the offset before the change
        ("duisburg", ["2026-03-29T02:30:00", "2026-03-29T03:30:00"], "2026-06-01T00:00Z", ["29 01:30", "29 01:30"]),
        ("york", ["2026-11-01T01:30:00"] * 2, "2027-01-01T00:00Z", ["01 05:30", "01 06:30"]),
        ("york", ["2026-03-08T02:30:00"], "2026-06-01T00:00Z", ["08 07:30"]),
        # Lord Howe moves by half an hour
        ("howe", ["2026-04-05T01:45:00"] * 2, "2027-01-01T00:00Z", ["04 14:45", "04 15:15"]),
        ("howe", ["2026-10-04T02:15:00"], "2027-01-01T00:00Z", ["03 15:45"]),
    ],
)
def test_repeated_and_skipped_hours(site, rows, arrival, expected, plant, messages, both_ways):
    assert _decode(plant, messages, both_ways, site, rows, arrival) == expected


def test_the_feeds_zone_comes_before_the_sites(plant, messages, both_ways):
    arrival = "2026-06-01T00:00Z"
    assert _decode(plant, messages, both_ways, "york", ["2026-05-01T10:00:00"], arrival, timezone="Asia/Kathmandu") == [
        "01 04:15"
    ]
    assert _decode(plant, messages, both_ways, "york", ["2026-05-01T10:00:00Z"], arrival, timezone="Asia/Kathmandu") == [
        "01 10:00"
    ]


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2036, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)
def test_local_times_as_python_reads_them(at, zone):
    earlier, later = timestamps.fold_choices((at.replace(tzinfo=UTC) - EPOCH) // timestamps.MICROSECOND, zone)
    before = at.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    after = at.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC)
    assert EPOCH + timedelta(microseconds=earlier) == before
    assert EPOCH + timedelta(microseconds=later) == (after if after > before else before)


def test_missing_stamps(plant, messages, both_ways, arrival):
    required = {
        "feed": "f",
        "topic": "a",
        "decoder": "json",
        "site": "york",
        "observed_at": {"path": "$.t"},
        "channels": [{"channel": "v", "value": "$.v"}],
    }
    found = both_ways(
        messages(("a", '{"v": 1}'), ("a", '{"v": 1, "t": null}'), ("a", '{"v": 1, "t": true}'), ("a", '{"v": 1, "t": {}}')),
        plant(required),
    )
    assert found.rejects["reason"].to_list() == ["no_time"] * 4
    preset = {"feed": "z", "decoder": "zigbee2mqtt", "site": "york"}
    rows = [
        '{"power": 1}',
        '{"power": 1, "last_seen": null}',
        '{"power": 1, "last_seen": 1700000000000}',
        '{"power": 1, "last_seen": "soon"}',
    ]
    found = both_ways(messages(*(("zigbee2mqtt/x", row) for row in rows)), plant(preset))
    assert found.decoded["observed_at"].to_list() == [arrival, arrival, _at("2023-11-14T22:13:20Z")]
    assert found.rejects["reason"].to_list() == ["no_time"]
    ignored = {**preset, "observed_at": "received_at"}
    assert both_ways(messages(("zigbee2mqtt/x", rows[3])), plant(ignored)).decoded["observed_at"].to_list() == [arrival]


def test_senml_times_near_zero_count_from_the_arrival(plant, messages, both_ways, arrival):
    feed = {"feed": "s", "decoder": "senml", "topic": "s/{device}", "site": "york"}
    found = both_ways(
        messages(("s/x", '[{"n": "a", "v": 1, "t": -5}, {"n": "a", "v": 2}, {"n": "a", "v": 3, "t": 268435456}]')), plant(feed)
    )
    assert found.decoded["observed_at"].to_list() == [arrival - timedelta(seconds=5), arrival, _at("1978-07-04T21:24:16Z")]


@given(st.integers(-(10**22), 10**22), st.integers(0, 20), st.sampled_from(["epoch_s", "epoch_ms", "epoch_us", "epoch_ns"]))
def test_numeric_stamps_are_floored_exactly(digits, places, format):
    text = f"{Decimal(digits).scaleb(-places):f}"
    micros = digits * timestamps.EPOCHS[format] // (1000 * 10**places)
    expected = micros if timestamps.FIRST_US <= micros <= timestamps.LAST_US else None
    assert timestamps.parse(pl.Series([text]), format).utc.to_list() == [expected]


def test_each_device_of_a_payload_has_its_own_hours(plant, messages, both_ways):
    feed = {
        "feed": "f",
        "topic": "a",
        "decoder": "json",
        "site": "duisburg",
        "each": "$[*]",
        "device": "@.d",
        "observed_at": {"path": "@.t"},
        "channels": [{"channel": "v", "value": "@.v"}],
    }
    text = json.dumps([{"d": device, "t": "2026-10-25T02:30:00", "v": 1} for device in "ABA"])
    found = both_ways(messages({"topic": "a", "payload": text, "received_at": _at("2027-01-01T00:00Z")}), plant(feed))
    assert [(row["device"], row["observed_at"].hour) for row in found.decoded.to_dicts()] == [("A", 0), ("B", 1), ("A", 1)]


def test_ordinary_stamps_are_read_a_short_way_that_says_the_same():
    stamps = ["2026-03-01T12:00:00", "2026-02-30T12:00:00", "0000-01-01T00:00:00", "9999-12-31T23:59:59", "2026-03-01T24:00:00"]
    ends = ["", "Z", ".5", ".5Z", ".123456789Z", ".000001", ".999999999999Z", ".Z", ".1234567890123Z", ".5+01:00"]
    texts = pl.Series([stamp + end for stamp in stamps for end in ends])
    for some in (texts, *(pl.Series([text]) for text in texts)):
        short, long = timestamps.parse(some, "iso8601"), timestamps._parts(some, timestamps._ISO)
        assert short.utc.to_list() == long.utc.to_list()
        assert short.local.to_list() == long.local.to_list()
