"""The figures of a replica are those of the set of its messages, and a store that is told only what it notes says the same:
whatever the order, the batches, and the place at which a worker dies, with its disk or without.
"""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.cluster.replica import Replica

SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "phases": [Phase.explicit, Phase.generate]}


@settings(max_examples=8, **SETTINGS)
@given(st.data(), st.booleans())
def test_a_replica_says_what_compute_says(world, tmp_path_factory, data, contracts):
    said, plant = data.draw(world.sent()), world.plant(contracts)
    mixed = data.draw(st.permutations(said + data.draw(st.lists(st.sampled_from(said), max_size=5))))
    replica = Replica(tmp_path_factory.mktemp("r") / "r.duckdb", pipeline.configure(plant, catalogue(), {}))
    try:
        replica.start(0, None)
        at = 0
        while at < len(mixed):
            size = data.draw(st.integers(1, 9))
            some = mixed[at : at + size]
            replica.apply(world.frame(some).drop("message"), {"raw": at + len(some)}, data.draw(st.booleans()))
            at += size
        expected, _ = world.whole(said, plant)
        world.assert_same(world.figures(replica), expected)
    finally:
        replica.close()


@settings(max_examples=8, **SETTINGS)
@given(st.data(), st.booleans())
def test_the_store_says_what_compute_says_wherever_the_worker_dies(world, tmp_path_factory, data, contracts):
    said, plant = data.draw(world.sent()), world.plant(contracts)
    model, folder = world.World(plant), tmp_path_factory.mktemp("w")
    with pytest.MonkeyPatch.context() as patch:
        fence = data.draw(st.sampled_from([0.0, 1e9]))
        worker = world.Worker(model, folder, patch, data.draw(st.integers(1, 5)), fence)
        try:
            at = 0
            while at < len(said):
                size = data.draw(st.integers(1, 8))
                model.say(said[at : at + size])
                at += size
                event = data.draw(st.sampled_from(["turn", "settle", "settle", "dies", "loses all"]))
                if event == "turn":
                    worker.turn()
                elif event == "settle":
                    worker.settle()
                else:
                    model.store.fails = model.store.operations + data.draw(st.integers(1, 4))
                    with suppress(world.Crash):
                        worker.settle()
                    model.store.fails = None
                    worker.die(event == "loses all")
                    worker = world.Worker(model, folder, patch, data.draw(st.integers(1, 5)), fence)
            worker.settle()
            expected, configuration = world.whole(said, plant)
            there, wanted = model.store.of("figures"), world.expected(expected, configuration)
            assert there == wanted
            world.assert_summed(model.store)
        finally:
            worker.die(False)
