"""`check` of feeds: every rule is broken once."""

import pytest

FEED_CASES = [
    ("unit: W, kind: rate", "unit: Wat, kind: rate", "feeds[0].channels[1].unit", "did you mean"),
    ("unit: W, kind: rate", "unit: kWh, kind: rate", "feeds[0].channels[1].unit", "kind: counter"),
    ("unit: W, kind: rate", "unit: W, kind: counter", "feeds[0].channels[1].unit", "kind: rate"),
    ("unit: W, kind: rate", "kind: rate", "feeds[0].channels[1].unit", "add unit:"),
    ("unit: W, kind: rate", "unit: ton/h, kind: rate", "feeds[0].channels[1].unit", "short_ton"),
    ("unit: W, kind: rate", "unit: W, kind: rate, max: 2 kWh", "feeds[0].channels[1].max", "correct `unit:`"),
    ("unit: W, kind: rate", "unit: W, kind: rate, min: 9, max: 2", "feeds[0].channels[1].min", "exchange"),
    ("unit: W, kind: rate", "unit: W, kind: rate, max_rate: 9 kW", "feeds[0].channels[1].max_rate", "write max:"),
    ("unit: W, kind: rate", "unit: W, kind: rate, jitter: 2", "feeds[0].channels[1].jitter", "kind: counter"),
    ("unit: kWh, kind: counter}", "unit: kWh, kind: counter, max_rate: 5 m3/h}", "feeds[0].channels[0].max_rate", "3 kW"),
    ("unit: W, kind: rate", "unit: W, kind: rate, scale: 0", "feeds[0].channels[1].scale", "like 10"),
    ("unit: kWh, kind: counter}", "unit: kWh, kind: counter, scale: -1}", "feeds[0].channels[0].scale", "decrease: net"),
    (
        "unit: kWh, kind: counter}",
        "unit: {path: $.u, allow: [kWh, m3]}, kind: counter}",
        "feeds[0].channels[0].unit.allow[1]",
        "two channels",
    ),
    (
        "unit: kWh, kind: counter}",
        "unit: {path: $.u, allow: [kWh, ton]}, kind: counter}",
        "feeds[0].channels[0].unit.allow[1]",
        "short_ton",
    ),
    ("channel: power", "channel: energy", "feeds[0].channels[1].channel", "where:"),
    ('value: "$.w", ', "", "feeds[0].channels[1].value", "path of the value"),
    ('value: "$.w"', 'value: "w"', "feeds[0].channels[1].value", "start it with $"),
    ('value: "$.w"', 'value: "@.w"', "feeds[0].channels[1].value", "add each:"),
    ("a/{site}/{device}/energy", "a/{site}/#/energy", "feeds[0].topic", "'a/{site}/#'"),
    ("decoder: json", "decoder: jsno", "feeds[0].decoder", "did you mean json?"),
    ("decoder: json", "decoder: [json, gzip]", "feeds[0].decoder", "[gzip, json]"),
    ("decoder: json", "decoder: json\n    broker: hall", "feeds[0].broker", "brokers"),
    ('{path: "$.t"}', '{path: "$.t", format: "%H:%M"}', "feeds[0].observed_at", "iso8601"),
    ('{path: "$.t"}', '{path: "$.t", timezone: Mars}', "feeds[0].observed_at", "Europe/Berlin"),
    ("a/{site}/{device}/energy", "a/{plant}/{device}/energy", "feeds[0].meter", "site:"),
    ("site: works", "site: wroks", "feeds[1].site", "plant.yaml's sites"),
    ("site: works", "site: depot", "feeds[1].site", "correct one"),
    ("feed: plugs", "feed: main", "feeds[1].feed", "another id"),
]


@pytest.mark.parametrize(("old", "new", "key", "remedy"), FEED_CASES)
def test_feeds(works, old, new, key, remedy):
    found = works.problems({"feeds/feeds.yaml": works.swapped(works.FEEDS, old, new)})
    here = [problem for problem in found if problem.key == key]
    assert len(here) == 1 and here[0].file == "feeds/feeds.yaml" and here[0].line, "\n".join(map(str, found))
    assert remedy in here[0].remedy, here[0]


@pytest.mark.parametrize("old", [case[0] for case in FEED_CASES if "unit" in case[2]][:1])
def test_a_broken_feed_gives_no_false_alarm_about_its_meters(works, old):
    """A feed that cannot be read at all may give the meter that nobody else gives."""
    found = works.problems({"feeds/feeds.yaml": works.FEEDS.replace("decoder: json", "decodr: json")})
    assert {problem.file for problem in found} == {"feeds/feeds.yaml"}


COUNTER = "kind: counter, scale: -0.001, decrease: net}"


@pytest.mark.parametrize(("old", "new"), [("kind: rate", "kind: rate, scale: -1"), ("kind: counter}", COUNTER)])
def test_a_meter_may_be_built_in_reverse(works, old, new):
    """The sign of a rate and of a two-way counter turns; nothing of it would be misread."""
    found = works.problems({"feeds/feeds.yaml": works.FEEDS.replace(old, new, 1)})
    assert [problem for problem in found if problem.severity == "error"] == []


B, KWH = "{feed: b, site: works, meter: works/x, topic: ", 'channels: [{channel: e, value: "$.kwh", unit: kWh}]}'


@pytest.mark.parametrize(
    ("feed", "severity"),
    [
        (B + '"a/works/#", decoder: json, ' + KWH, "error"),
        (B + '"a/works/#", decoder: json, ' + KWH.replace("kwh", "z"), None),
        (B + '"a/+/x", decoder: json, ' + KWH, None),
        ('{feed: b, topic: "a/+/+/energy", decoder: senml, site: works, meter: works/x}', "warning"),
        ('{feed: b, topic: "tele/#", decoder: tasmota, site: works, meter: works/x}', "error"),
        ('{feed: b, topic: "tele/#", skip: ["tele/+/SENSOR"], decoder: tasmota, site: works, meter: works/x}', None),
    ],
)
def test_overlapping_topics_that_would_count_twice(works, feed, severity):
    found = works.problems({"feeds/b.yaml": f"feeds:\n  - {feed}\n"})
    assert [problem.severity for problem in found] == ([severity] if severity else []), "\n".join(map(str, found))
    if severity:
        assert found[0].key.endswith("topic") and "skip:" in found[0].remedy and "read by" in found[0].message


@pytest.mark.parametrize(("ahead", "refused"), [("23h", False), ("2d", True)])
def test_clocks_that_are_far_ahead_are_no_cluster(works, ahead, refused):
    feeds = works.swapped(works.FEEDS, "decoder: json", f"decoder: json\n    accept: {{ahead: {ahead}}}")
    for profile in ("embedded", "cluster"):
        plant = works.swapped(works.PLANT, "tags: [line]", f"tags: [line]\nprofile: {profile}")
        found = [one.key for one in works.problems({"plant.yaml": plant, "feeds/feeds.yaml": feeds}) if "23 h" in one.message]
        assert found == (["feeds[0].accept.ahead"] if refused and profile == "cluster" else [])


def test_accuracies_are_noted_once(works):
    text = works.FEEDS.replace("kind: counter}", "kind: counter, accuracy: 1%}")
    assert "uncertainty" in works.one({"feeds/feeds.yaml": text}, "feeds[0].channels[0].accuracy").message


def test_feeds_of_different_brokers_do_not_overlap(works):
    brokers = works.PLANT + "brokers: {one: {host: a}, two: {host: b}}\n"
    feed = B + '"a/#", broker: two, decoder: json, ' + KWH
    assert works.problems({"plant.yaml": brokers, "feeds/b.yaml": f"feeds: [{feed}]"}) == []


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ("", True),
        ("observed_at: received_at", True),
        ('observed_at: {path: "$.t"}', False),
        ('x: "$.ticket"', False),
    ],
)
def test_amounts_without_time_or_event_id(works, more, warned):
    event = ', event: "$.ticket"' if more.startswith("x:") else ""
    line = "" if more.startswith("x:") else f"    {more}\n"
    text = f'feeds:\n  - feed: b\n    topic: "b/{{device}}"\n    decoder: json\n    site: works\n{line}    channels:\n'
    text += f'      - {{channel: waste, value: "$.kg", unit: kg, kind: amount{event}}}\n'
    found = works.problems({"feeds/b.yaml": text})
    assert [(problem.severity, problem.key) for problem in found] == (
        [("warning", "feeds[0].channels[0].event")] if warned else []
    )
