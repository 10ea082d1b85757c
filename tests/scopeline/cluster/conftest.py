"""Workers without servers (tests/cluster_world.py)."""

import pytest


@pytest.fixture
def start(world, tmp_path):
    """start(model, fence=..., name=...): a Worker; all are ended after the test."""
    patch, found = pytest.MonkeyPatch(), []

    def make(model, fence=1e9, name="w", pace=50):
        worker = world.Worker(model, tmp_path / name, patch, pace, fence)
        found.append(worker)
        return worker

    yield make
    for worker in found:
        worker.die(False)
    patch.undo()
