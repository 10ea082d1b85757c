"""*Feeds*: what comes in, what is behind, what is silent, and what could not be read."""

from grafana_foundation_sdk.models import dashboard as model

from grafana import frame
from grafana.facts import Facts
from grafana.influxql import SITE
from grafana.panels import GREEN, RED, YELLOW, Ask, Panel, Size, clock, curve, limits, link, listing, number, prop
from schemas.influx import EVENTS, FEEDS, LAG

MINUTES = '* 60000 / $__interval_ms AS "rate"'


def build(facts: Facts) -> model.Dashboard:
    """The dashboard of a plant."""
    rows = [("Messages", _messages(facts)), ("Behind", _behind(facts)), ("Silence and events", _silence(facts))]
    about = f"{facts.organisation}: messages by feed, quarantine, silence, and how far the workers are behind."
    return frame.framed(facts, "feeds", about, [frame.site(facts, of_zone=False)], rows, "now-6h", "10s", facts.clock())


def _messages(facts: Facts) -> list[Panel]:
    rate = curve(
        facts,
        "Rate",
        "Messages a minute by feed, whatever became of them.",
        [
            Ask(
                f'SELECT sum("messages") {MINUTES} FROM "{FEEDS}" WHERE $timeFilter GROUP BY time($__interval), "feed" fill(0)',
                "$tag_feed",
            )
        ],
        Size(12, 8),
        "cpm",
        every="1m",
    )
    outcome = curve(
        facts,
        "Outcome",
        "Messages a minute: decoded, skipped by the feed's own patterns, matched by no feed, or quarantined.",
        [
            Ask(
                f'SELECT sum("messages") {MINUTES} FROM "{FEEDS}" WHERE $timeFilter '
                'GROUP BY time($__interval), "outcome" fill(0)',
                "$tag_outcome",
            )
        ],
        Size(12, 8),
        "cpm",
        stacked=True,
        bars=True,
        every="1m",
    )
    quarantined = number(
        facts,
        "Quarantined",
        "Messages of the range that could not be read, by feed. The console says why, and tries them again.",
        [
            Ask(
                f'SELECT sum("messages") AS "messages" FROM "{FEEDS}" '
                'WHERE "outcome" = \'quarantined\' AND $timeFilter GROUP BY "feed"',
                "$tag_feed",
            )
        ],
        Size(24, 5),
        "short",
        decimals=0,
    )
    quarantined.thresholds(limits((None, GREEN), (1, RED)))
    quarantined.data_links([link("Quarantine", f"{facts.console}/feeds", new_tab=True)])
    return [rate, outcome, quarantined]


def _behind(facts: Facts) -> list[Panel]:
    def of(field: str, title: str, about: str, unit: str, yellow: float, red: float) -> Panel:
        group = 'GROUP BY time($__interval), "partition" fill(none)'
        query = f'SELECT max("{field}") AS "{field}" FROM "{LAG}" WHERE $timeFilter {group}'
        panel = curve(facts, title, about, [Ask(query, "partition $tag_partition")], Size(12, 8), unit, every="10s")
        return panel.min(0).thresholds(limits((None, GREEN), (yellow, YELLOW), (red, RED)))

    return [
        of("seconds", "Lag", "Age of the oldest message that has no figure yet, by partition of the log.", "s", 60, 600),
        of(
            "records",
            "Records waiting",
            "Records of the log that are not processed yet, by partition.",
            "short",
            10_000,
            1_000_000,
        ),
    ]


def _silence(facts: Facts) -> list[Panel]:
    last = listing(
        facts,
        "Last decoded message",
        "By feed, within 30 days. Which silence is too long for a feed is in the alert of that feed.",
        [
            Ask(
                f'SELECT last("messages") AS "messages" FROM "{FEEDS}" WHERE "outcome" = \'decoded\' AND time >= now() - 30d '
                'AND time <= now() GROUP BY "feed"',
                shape="table",
            )
        ],
        Size(8, 9),
    )
    last.override_by_name("Time", [prop("displayName", "last message"), prop("unit", "dateTimeFromNow")])
    last.override_by_name("messages", [prop("displayName", "messages in that minute")])
    about = "When the newest message came that gave a reading."
    clocks = clock(facts, "Newest reading of a site", about, Size(6, 9), "dateTimeFromNow")
    events = listing(
        facts,
        "Events",
        "What happened to meters and figures: swaps, resets, gaps, spikes, restatements, changed factors.",
        [
            Ask(
                f'SELECT "event", "meter", "detail" FROM "{EVENTS}" WHERE {SITE} AND $timeFilter ORDER BY time DESC LIMIT 500',
                shape="table",
            )
        ],
        Size(10, 9),
    )
    return [last, clocks, events]
