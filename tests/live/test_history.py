"""History on a real Kafka: archive and log as one, each message once; what is in neither, or damaged, is named."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scopeline.cluster.history import History, HistoryMissing

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

DAY = datetime(2026, 3, 1, tzinfo=UTC)
LATER = DAY + timedelta(days=40)


def test_history_goes_on_in_the_log_where_the_archive_ends(log: Any):
    log.some_days(2)
    log.archived()
    first = log.end(0)
    log.some_days(2, seed=9)
    assert History(log.kafka, log.archive, log.folder).archived(0) == first < log.end(0)
    assert log.before(0, log.end(0)) == log.of(0)
    assert log.before(0, first - 3) == log.before(0, first)[: len(log.before(0, first - 3))]
    since = DAY + timedelta(days=1)
    assert log.before(0, log.end(0), since) == log.of(0, since) and len(log.of(0, since)) < len(log.of(0))
    assert log.before(0, 0) == []
    log.forget(0, first)
    assert log.before(0, log.end(0)) == log.of(0)


def test_what_is_in_neither_is_said(log: Any):
    log.some_days(2)
    end = log.end(0)
    log.forget(0, end)
    with pytest.raises(HistoryMissing, match=rf"partition 0: the offsets 0 to {end - 1} are no longer in Kafka.*backup"):
        log.before(0, end)
    log.some_days(1, seed=5)
    log.archived()
    with pytest.raises(HistoryMissing, match="offsets 0 to"):
        log.before(0, log.end(0))
    assert log.before(0, end, datetime.now(UTC)) == []  # what the retention dropped is older than this
    with pytest.raises(HistoryMissing, match="made anew"):
        log.before(0, log.end(0) + 10, datetime.now(UTC))


@pytest.mark.parametrize("harm", ["spoiled", "removed"])
def test_a_missing_or_damaged_file_is_named(log: Any, harm: str):
    log.some_days(3)
    log.archived(now=LATER)
    victim = next(file for file in log.files if "-0-" in file.name and "day=2026-03-02" in str(file))
    victim.unlink() if harm == "removed" else log.spoil(victim)
    end = log.end(0)
    assert log.before(0, end) == log.of(0), "Kafka still has it"
    log.forget(0, end)
    with pytest.raises(HistoryMissing, match=f"{victim.name}.*backup"):
        log.before(0, end)
    after = DAY + timedelta(days=2)
    assert log.before(0, end, after) == log.of(0, after), "harms nobody who does not need it"
