"""Topic filters match as MQTT says, and overlap exactly where some topic matches both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import topics


@pytest.mark.parametrize(
    ("text", "topic", "captured"),
    [
        ("a/{x}/c", "a/b/c", {"x": "b"}),
        ("a/{x}/c", "a//c", {"x": ""}),
        ("a/{x}", "a/b/c", None),
        ("a/+", "a/b", {}),
        ("a/#", "a", {}),
        ("a/#", "a/b/c", {}),
        ("a/#", "ab", None),
        ("#", "a/b", {}),
        ("#", "$SYS/b", None),
        ("{x}/b", "$SYS/b", None),
        ("$SYS/#", "$SYS/b", {}),
        ("a/+", "a/b\n", {}),
        ("a.c", "abc", None),
        ("/a", "/a", {}),
        ("a/b", "a/b\n", None),
    ],
)
def test_matching(text, topic, captured):
    assert topics.parse(text).match(topic) == captured


@pytest.mark.parametrize(
    "text",
    ["", "a/#/b", "a#", "a/b+", "a/{x}{y}", "a/{X}", "a/{}", "{x}/{x}", "a\0b", "a/x{y}", "$share/g/a", "a" * 70_000, "\ud800"],
)
def test_filters_that_cannot_be(text):
    with pytest.raises(ValueError, match=": "):
        topics.parse(text)


level = st.sampled_from(["a", "b", "$s", "", "+", "{x}"])
filters = st.tuples(st.lists(level, min_size=1, max_size=4), st.booleans()).map(
    lambda pair: "/".join([*pair[0], "#"] if pair[1] else pair[0])
)


def _sound(text: str) -> bool:
    return text != "" and text.count("{x}") < 2


@given(filters.filter(_sound), filters.filter(_sound), st.lists(st.sampled_from(["a", "b", "$s", ""]), min_size=1, max_size=5))
def test_overlaps(one, other, levels):
    topic = "/".join(levels)
    if topics.parse(one).match(topic) is not None and topics.parse(other).match(topic) is not None:
        assert topics.overlaps(one, other)
    assert topics.overlaps(one, other) == topics.overlaps(other, one)


@given(filters.filter(_sound), filters.filter(_sound))
def test_overlapping_filters_share_a_topic(one, other):
    import itertools

    known = ("a", "b", "$s", "")
    shared = any(
        topics.parse(one).match(topic) is not None and topics.parse(other).match(topic) is not None
        for size in range(1, 6)
        for topic in map("/".join, itertools.product(known, repeat=size))
    )
    assert topics.overlaps(one, other) == shared


def test_subscription_and_captures():
    assert topics.subscription("a/{site}/+/{device}/#") == "a/+/+/+/#"
    assert topics.captures("a/{site}/+/{device}/#") == ("site", "device")
