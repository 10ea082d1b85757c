"""The InfluxDB sink against a small store of our own: what is retried and refused. The real one: tests/live."""

import gzip
import random
import re
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.influx import Bound, InfluxProblem, Stopped, connection, setup
from sinks.influx.deletion import statements, whole

AT = datetime(2026, 3, 1, tzinfo=UTC)
CONFLICT = 'field type conflict: input field "v" on measurement "m" is type string, already exists as type float'


class Store:
    """Keeps lines; refuses as InfluxDB 2.7 does: a text in `v` by 422 (the rest is stored), a line without a space by 400."""

    def __init__(self, *first):
        self.lines, self.requests, self.first = [], [], list(first)

    def __call__(self, request):
        self.requests.append(request)
        if self.first:
            answer = self.first.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        body = request.content
        sent = (gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body).decode().split("\n")
        if broken := [line for line in sent if " " not in line]:
            return httpx.Response(400, json={"code": "invalid", "message": f"unable to parse '{broken[0]}': missing fields"})
        kept = [line for line in sent if 'v="' not in line]
        self.lines += kept
        if len(kept) < len(sent):
            text = f"failure writing points to database: partial write: {CONFLICT} dropped={len(sent) - len(kept)}"
            return httpx.Response(422, json={"code": "unprocessable entity", "message": text})
        return httpx.Response(204)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(connection, "LONGEST_WAIT", 0.002)


def good(n):
    return [f"m v={k}.0 {k}" for k in range(n)]


def test_ten_thousand_lines_a_request_in_microseconds(opened):
    store = Store()
    written = opened(store).write("b", pl.Series(good(25_000)))
    assert written == (25_000, [])
    assert store.lines == good(25_000)
    assert [request.url.params["precision"] for request in store.requests] == ["us"] * 3
    assert opened(store).write("b", []) == (0, [])


def test_compressed_lines_are_the_same(opened):
    store = Store()
    opened(store, compress=True).write("b", good(10))
    assert store.requests[0].headers["Content-Encoding"] == "gzip" and store.lines == good(10)


@pytest.mark.parametrize("seed", range(5))
def test_refused_lines_come_back_with_their_reason_and_the_rest_is_stored(opened, seed):
    draw = random.Random(seed)
    lines = good(3000)
    conflicts = {f'm v="x" {k}' for k in draw.sample(range(3000), draw.choice([1, 40, 1500]))}
    broken = {f"broken{k}" for k in range(draw.choice([0, 1, 3]))}
    mixed = [*lines, *conflicts, *broken]
    draw.shuffle(mixed)
    store = Store()
    written = opened(store).write("b", mixed)
    assert {refused.line for refused in written.refused} == conflicts | broken
    assert written.accepted == 3000 and set(store.lines) == set(lines)
    for line, reason in written.refused:
        assert reason == (CONFLICT if line in conflicts else f"unable to parse '{line}': missing fields")


def test_refused_lines_that_are_many_cost_few_requests(opened):
    store = Store()
    half = [f'm v="x" {k}' if k % 2 else f"m v=1.0 {k}" for k in range(10_000)]
    written = opened(store).write("b", half)
    assert written.accepted == len(written.refused) == 5000
    assert len(store.requests) < 40


def test_a_dropped_count_that_does_not_explain_every_line_is_not_believed(opened):
    """Two conflicts in one request, of two fields: the server names only the first."""

    def both(request):
        sent = request.content.decode().split("\n")
        field = "v" if any(' v="' in line for line in sent) else "w"
        text = f'partial write: input field "{field}" on measurement "m" is type string, already exists as type float'
        return httpx.Response(422, json={"message": f"{text} dropped={len(sent)}"})

    influx = opened(both)
    reasons = dict(influx.write("b", ['m v="x" 1', 'm w="x" 2']).refused)
    assert '"v"' in reasons['m v="x" 1'] and '"w"' in reasons['m w="x" 2']


def test_points_outside_the_retention_share_one_short_reason(opened):
    def old(request):
        n = len(request.content.split(b"\n"))
        text = (
            f"failure writing points to database: partial write: dropped {n} points outside retention policy of duration 1h0m0s"
        )
        text += " - oldest point m at 1970-01-01T00:00:00Z dropped because it violates ..., newest point m ..."
        return httpx.Response(422, json={"message": f"{text} dropped={n}"})

    influx = opened(old)
    refused = influx.write("b", good(100)).refused
    assert len(refused) == 100 and {r.reason for r in refused} == {"outside retention policy of duration 1h0m0s"}


def test_outages_are_waited_out_and_told(opened):
    busy = httpx.Response(503, json={"message": "busy"})
    store = Store(httpx.ConnectError("refused"), busy, httpx.Response(500), httpx.Response(429), httpx.RemoteProtocolError("cut"))
    influx, told = opened(store), []
    wait = influx.stop.wait
    influx.stop.wait = lambda seconds: told.append(influx.problem) or wait(seconds)
    assert influx.write("b", good(3)) == (3, [])
    assert len(told) == 5 and "cannot be reached" in told[0] and "503: busy" in told[1]
    assert influx.problem is None


def test_the_server_says_how_long_to_wait(opened):
    store = Store(httpx.Response(429, headers={"Retry-After": "0.2"}), httpx.Response(503, headers={"Retry-After": "nonsense"}))
    influx, waits = opened(store), []
    influx.stop.wait = lambda seconds: waits.append(seconds) and False
    influx.write("b", good(1))
    assert 0.2 <= waits[0] <= 0.3 and waits[1] < 0.1


def test_stop_ends_the_waiting(opened):
    stop = threading.Event()
    influx = opened(lambda request: httpx.Response(503), stop=stop)
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Stopped, match="503"):
        influx.write("b", good(1))


def test_a_slow_server_gets_smaller_requests(opened):
    sizes = []

    def slow(request):
        sizes.append(len(request.content.split(b"\n")))
        if sizes[-1] > 1000:
            time.sleep(1)
        return httpx.Response(204)

    influx = opened(slow, timeout="500ms")
    assert influx.write("b", good(20_000)) == (20_000, [])
    assert sizes.count(10_000) == 2, "the second ten thousand lines are not tried at once again"


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "token_file"), (403, "read and write"), (404, "scopeline setup"), (405, "plant.yaml")]
)
def test_what_waiting_does_not_cure_is_raised_with_a_remedy(opened, status, remedy):
    store = Store(httpx.Response(status, json={"message": "no"}))
    with pytest.raises(InfluxProblem, match=remedy):
        opened(store).write("b", good(1))
    assert len(store.requests) == 1


def test_a_bad_request_that_is_not_about_lines_is_not_bisected(opened):
    store = Store(httpx.Response(400, json={"message": "invalid precision"}))
    with pytest.raises(InfluxProblem, match="invalid precision"):
        opened(store).write("b", good(100))


def keys(*rows):
    schema = {"time": pl.Datetime("us", "UTC"), "source": pl.String, "basis": pl.String}
    return pl.DataFrame([(AT + timedelta(minutes=minute), source, basis) for minute, source, basis in rows], schema, orient="row")


def test_instants_in_a_row_are_one_range_and_series_with_one_range_one_statement():
    wanted = keys((0, "a", ""), (1, "a", None), (3, "a", ""), (0, "b", "market"), (1, "b", "market"), (0, "a", "market"))
    (found,) = statements("figures", wanted, timedelta(minutes=1))
    start = int(AT.timestamp()) * 10**9
    minute = 60 * 10**9
    assert sorted(found) == sorted(
        [
            f'DELETE FROM "figures" WHERE time >= {start} AND time <= {start + minute} AND '
            "((\"source\"='a' AND \"basis\"='') OR (\"source\"='b' AND \"basis\"='market'))",
            f'DELETE FROM "figures" WHERE time >= {start + 3 * minute} AND time <= {start + 3 * minute} AND '
            "(\"source\"='a' AND \"basis\"='')",
            f'DELETE FROM "figures" WHERE time >= {start} AND time <= {start} AND ("source"=\'a\' AND "basis"=\'market\')',
        ]
    )
    assert sum(len(some) for some in statements("figures", wanted)) == 3, "without the length of an interval: instants"
    assert list(statements("figures", keys())) == []


@given(st.sets(st.tuples(st.integers(0, 6), st.sampled_from("abc"), st.sampled_from(["", "market"])), max_size=20))
def test_statements_say_the_keys_and_no_others(wanted):
    said = set()
    for some in statements("figures", keys(*wanted), timedelta(minutes=1)):
        for text in some:
            first, last = (int(n) for n in re.findall(r"time [<>]= (\d+)", text))
            series = re.findall(r"\"source\"='(\w)' AND \"basis\"='(\w*)'", text)
            minutes = range((first // 10**9 - int(AT.timestamp())) // 60, (last // 10**9 - int(AT.timestamp())) // 60 + 1)
            said |= {(minute, *one) for minute in minutes for one in series}
    assert said == wanted


def test_a_delete_that_fails_says_so(opened):
    store = Store(httpx.Response(200, json={"results": [{"statement_id": 0, "error": "database not found"}]}))
    with pytest.raises(InfluxProblem, match="database not found"):
        opened(store).delete("b", "figures", keys((0, "a", "")))
    store = Store(httpx.Response(503), httpx.Response(200, json={"results": [{"statement_id": 0}]}))
    assert opened(store).delete("b", "figures", keys((0, "a", ""))) == 1


def test_whole_series_are_forgotten_at_whatever_time(opened):
    series = pl.DataFrame({"site": ["a"] * 121, "scope": [None, *range(120)]}, schema={"site": pl.String, "scope": pl.Int8})
    texts = [text for some in whole("figures_1h", pl.concat([series, series])) for text in some]
    assert len(texts) == 3, "fifty series a statement"
    found = [pair for text in texts for pair in re.findall(r"\(\"site\"='(\w)' AND \"scope\"='(\w*)'\)", text)]
    assert found == [("a", ""), *(("a", str(n)) for n in range(120))]
    assert all(re.search(r"time >= -9\d{18} AND time <= 9\d{18} AND \(", text) for text in texts)
    assert list(whole("figures_1h", series.clear())) == [], "no series, no statement"
    store = Store(httpx.Response(200, json={"results": [{"statement_id": 0, "error": "database not found"}]}))
    with pytest.raises(InfluxProblem, match="database not found"):
        opened(store).forget("b", "figures", series)


def test_the_bound_admits_the_first_and_keeps_them():
    bound = Bound(2)
    first = pl.DataFrame({"feed": ["f", "f", "g"], "meter": ["b", "c", "x"], "value": [1, 2, 3]})
    kept, refused = bound.admit(first)
    assert kept.equals(first) and refused.is_empty()
    kept, refused = bound.admit(
        pl.DataFrame({"feed": ["f", "f", "g", "g"], "meter": ["a", "b", "y", "z"], "value": [4, 5, 6, 7]})
    )
    assert kept["value"].to_list() == [5, 6] and refused.rows() == [("f", "a"), ("g", "z")]
    again = Bound(2, bound.members.reverse())
    assert again.admit(first)[0].equals(first) and again.members.height == bound.members.height == 4


def test_setup_says_who_is_missing(opened):
    def nobody(request):
        return httpx.Response(404, json={"message": "organization not found"})

    with pytest.raises(InfluxProblem, match=r"no organisation 'acme' -> check influxdb\.org"):
        setup(opened(nobody))
