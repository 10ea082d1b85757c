"""Sums that wait are told before what changed them is carried over: a worker that takes over without state counts it as old."""

import math
from copy import deepcopy
from datetime import timedelta

import pytest

from scopeline.cluster import summing

HOUR = timedelta(hours=1)
SILENT = range(49, 53)
"""Hours in which the counter says nothing at first: around the horizon, which lies 48 hours before hour 99."""


def said(world, hour, received, **body):
    return world.message("t/a", world.START + hour * HOUR, world.START + received * HOUR, **body)


@pytest.mark.parametrize(
    ("hour", "body"),
    [(50, {"plain": 48.5}), (60, {"ticket": 7, "id": "x"})],
    ids=["a reading before the horizon", "an event that is corrected"],
)
def test_a_worker_without_state_leaves_no_sum_as_it_was(world, start, monkeypatch, hour, body):
    monkeypatch.setattr(summing, "EVERY", math.inf)  # while messages come, no sum is told for its own sake
    model = world.World(world.plant())
    model.say([said(world, n, n + 0.01, plain=n) for n in range(100) if n not in SILENT])
    model.say([said(world, 60, 99.02, ticket=5, id="x")])
    first = start(model, pace=100)
    first.settle()
    model.say([said(world, 99.02, 99.03, plain=100)])
    first.turn()
    assert first.part.unsummed, "sums wait"
    carried, figures = dict(model.carried), deepcopy(model.store.of("figures"))
    model.say([said(world, hour, 99.04, **body)])
    first.turn()
    assert model.carried != carried and model.store.of("figures") != figures and model.committed.offset == len(model.raw)
    first.die(state_too=True)
    second = start(model)
    second.settle()
    assert second.replica.store.fact("first_offset") > 0, "it knows what lies before from what was carried over"
    world.assert_summed(model.store)
