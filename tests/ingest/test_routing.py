"""Where a message is logged: at the site of every meter that decoding finds in it, whatever the plant looks like."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import ingest
from ingest.routing import Route, Routes, sites

SITES = ("duisburg", "york", "howe", "ref")
NAMES = st.sampled_from(["duisburg", "york", "howe", "ref", "p7", "nowhere", "a b", ""])
DEVICES = st.sampled_from(["p7", "duisburg", "york", "d-1", "a b"])

FEEDS = st.fixed_dictionaries(
    {
        "topic": st.sampled_from(["t/{site}/{device}", "t/{line}/{device}", "t/+/{device}", "t/#", "t/{site}/+"]),
        "site": st.sampled_from([None, "duisburg", "york", "ref"]),
        "meter": st.sampled_from(
            [None, "york/{device}", "{site}/{device}", "{line}/{device}", "duisburg/m", "{device}/x", "ref/m"]
        ),
        "device": st.sampled_from([None, "$.d", "{device}", "{line}-{device}"]),
        "meters": st.sampled_from([None, "table"]),
        "unlisted": st.sampled_from([None, "quarantine", "{site}/{device}", "york/{device}"]),
    }
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "device": DEVICES,
            "channel": st.sampled_from([None, "e", "f"]),
            "site": st.sampled_from([None, *SITES[:3]]),
            "meter": st.sampled_from(["duisburg/m1", "york/m2", "howe/m3"]),
            "valid_from": st.sampled_from([None, "2026-05-01", "2026-07-01"]),
        }
    ),
    max_size=4,
)


def _plant(plant: Callable[..., Any], feeds: list[dict[str, Any]], rows: list[dict[str, Any]]) -> Any:
    channels = [{"channel": name, "value": f"$.{name}"} for name in ("e", "f")]
    made = []
    for number, feed in enumerate(feeds):
        stated = {key: value for key, value in feed.items() if value is not None}
        made.append({"feed": f"f{number}", "decoder": "json", "channels": channels, "observed_at": "received_at"} | stated)
    kept = [
        {k: v for k, v in row.items() if v is not None} | {"feed": f"f{number % len(feeds)}"} for number, row in enumerate(rows)
    ]
    return plant(*made, meters=kept)


@given(feeds=st.lists(FEEDS, min_size=1, max_size=3), rows=ROWS, line=NAMES, device=DEVICES, told=DEVICES)
def test_the_sites_of_all_meters_are_among_the_routes(
    plant: Any, messages: Any, feeds: Any, rows: Any, line: str, device: str, told: str
) -> None:
    made = _plant(plant, feeds, rows)
    try:
        ready = ingest.compile(made)
    except (ingest.FeedError, ValueError):
        return  # a plant that `check` refuses
    for feed in feeds:  # the payload alone would say the site: `check` refuses it in a cluster
        by_payload = (feed["device"] or "").startswith("$")
        if by_payload and ((feed["unlisted"] if feed["meters"] else feed["meter"]) or "").startswith("{device}"):
            return
    topic = f"t/{line}/{device}"
    found = ingest.decode(messages((topic, f'{{"e": 1, "f": 2, "d": "{told}"}}')), ready)
    routes = Routes(ready, made).of(topic)
    assert routes, "nothing is logged nowhere"
    assert set(found.decoded["site"]) <= {route.key for route in routes}, "each site is its own key here"
    assert len({route.key for route in routes}) == len(routes), "once for each key"
    assert routes == Routes(ready, made).of(topic), "the same in every process"


def test_a_plain_feed_goes_to_one_site(plant: Any) -> None:
    made = plant({"feed": "f", "topic": "t/{site}/{device}", "decoder": "json", "channels": [{"channel": "e", "value": "$.e"}]})
    routes = Routes(ingest.compile(made), made)
    assert routes.of("t/york/p7") == (Route("york", "york"),)
    assert routes.of("t/nowhere/p7") == (Route("duisburg", "duisburg"),), "the first site keeps what names none"
    assert routes.of("else") == (Route("duisburg", "duisburg"),)
    assert routes.find("else", None) == ()


def test_feeds_of_two_sites_log_a_message_for_each(plant: Any) -> None:
    channels = [{"channel": "e", "value": "$.e"}]
    feeds = [
        {"feed": site, "topic": "t/{device}", "site": site, "decoder": "json", "channels": channels} for site in ("york", "howe")
    ]
    made = plant(*feeds)
    assert [route.site for route in Routes(ingest.compile(made), made).of("t/p7")] == ["york", "howe"]


def test_sites_that_share_a_partition_share_a_record(plant: Any) -> None:
    channels = [{"channel": "e", "value": "$.e"}]
    feeds = [
        {"feed": site, "topic": "t/{device}", "site": site, "decoder": "json", "channels": channels} for site in ("york", "howe")
    ]
    made = plant(*feeds)
    shared = tuple(site.model_copy(update={"partition": "both"}) for site in made.settings.sites)
    made = made.model_copy(update={"settings": made.settings.model_copy(update={"sites": shared})})
    assert Routes(ingest.compile(made), made).of("t/p7") == (Route("york", "both"),)


def test_a_device_that_the_table_does_not_list_is_logged(plant: Any) -> None:
    feed = {"feed": "f", "topic": "t/{device}", "site": "york", "meters": "table", "decoder": "json"}
    feed |= {"channels": [{"channel": "e", "value": "$.e"}]}
    made = plant(feed, meters=[{"feed": "f", "device": "p1", "meter": "howe/p1", "site": "howe"}])
    routes = Routes(ingest.compile(made), made)
    assert routes.of("t/p1") == (Route("howe", "howe"),)
    assert routes.of("t/p2") == (Route("york", "york"),), "where the feed stands"


def test_brokers_are_kept_apart(plant: Any) -> None:
    channels = [{"channel": "e", "value": "$.e"}]
    feeds = [
        {"feed": broker, "topic": "t/{device}", "site": site, "decoder": "json", "channels": channels, "broker": broker}
        for broker, site in (("one", "york"), ("two", "howe"))
    ]
    made = plant(*feeds, brokers={"one": {"host": "a"}, "two": {"host": "b"}})
    routes = Routes(ingest.compile(made), made)
    assert routes.of("t/p7") == (Route("york", "york"),)
    assert routes.of("t/p7", "two") == (Route("howe", "howe"),)


def test_a_device_in_the_payload_may_be_any_of_the_table(plant: Any) -> None:
    feed = {"feed": "f", "topic": "t", "decoder": "json", "device": "$.d", "channels": [{"channel": "e", "value": "$.e"}]}
    made = plant(feed | {"meter": "york/{device}"})
    assert sites(ingest.compile(made).feeds[0], {}) == ["york"]
    rows = [{"feed": "f", "device": site, "meter": f"{site}/p1"} for site in ("howe", "york")]
    made = plant(feed | {"meters": "table", "unlisted": "duisburg/{device}"}, meters=rows)
    assert sites(ingest.compile(made).feeds[0], {}) == ["duisburg", "howe", "york"]
