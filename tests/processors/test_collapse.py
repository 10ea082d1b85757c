"""Which of several versions of a reading counts."""

import polars as pl

from processors.collapse import collapse


def never(ids):
    raise AssertionError("payloads asked without a tie")


def kept(readings, payloads=never):
    return collapse(readings, payloads).select(pl.col("value_n") // 10**9, "message").rows()


def test_latest_received_wins_but_a_repeated_old_value_does_not(spoken):
    frame = spoken([(0, 7, {"received_at": 1}), (0, 8, {"received_at": 2}), (0, 7, {"received_at": 9})])
    assert kept(frame) == [(8, 1)]


def test_redelivery_keeps_the_earliest_received_at(spoken):
    frame = spoken([(0, 7, {"received_at": 1, "message": 0}), (0, 7, {"received_at": 50, "message": 5})])
    assert kept(frame) == [(7, 0)]


def test_same_message_later_index_wins_without_payloads(spoken):
    frame = spoken([(0, 7, {"message": 3, "index": 0}), (0, 8, {"message": 3, "index": 1})])
    assert kept(frame) == [(8, 3)]


def test_identical_lines_need_no_payloads(spoken):
    assert kept(spoken([(0, 7, {"message": 1}), (0, 7, {"message": 2})])) == [(7, 1)]


def test_a_true_tie_goes_to_the_greater_topic_then_payload(spoken):
    frame = spoken([(0, 7, {"message": 1}), (0, 8, {"message": 2})])
    said = {1: ("b", b"a"), 2: ("a", b"z")}

    def payloads(ids):
        rows = [(i, *said[i]) for i in ids]
        return pl.DataFrame(rows, schema={"message": pl.Int64, "topic": pl.String, "payload": pl.Binary}, orient="row")

    assert kept(frame, payloads) == [(7, 1)]
    said[1] = ("a", b"a")
    assert kept(frame, payloads) == [(8, 2)]


def test_an_event_is_one_reading_whatever_its_time(spoken):
    first, second = {"event": "T1", "received_at": 100}, {"event": "T1", "received_at": 200}
    found = collapse(spoken([(0, 7, first), (60, 9, second), (0, 5, {"event": "T2"}), (0, 4)], kind="amount"), never)
    assert found.select(pl.col("value_n") // 10**9, pl.col("observed_at").dt.minute(), "event").rows() == [
        (4, 0, None),
        (5, 0, "T2"),
        (9, 1, "T1"),
    ]


def test_meters_do_not_mix(spoken):
    frame = pl.concat([spoken([(0, 7)]), spoken([(0, 8)], meter="works/a:e")])
    assert kept(frame) == [(8, 0), (7, 0)]
