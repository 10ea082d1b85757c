"""The state of a worker on a full disk, or damaged: said aloud, never half written, made again from the log where it must be."""

import random
import resource
import shutil
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


def test_a_disk_without_room_for_the_state(cluster: Any, until: Any) -> None:
    """No file may grow any more: the worker says so, commits nothing, and goes on when there is room again."""
    plant = cluster(step=0.2)
    plant.start("ingest").ready()
    worker = plant.start("process").ready()
    gauge = plant.gauge()
    plant.send(gauge, 0, 200)
    assert until(lambda: plant.behind() == 0 and worker.metric("scopeline_process_committed") > 0), worker.said()
    limits = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    files = [file.stat().st_size for file in worker.plant.glob(".scopeline/process/*/partitions/*")]
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (max(files) + 20_000, limits[1]))
    n = 200
    while worker.asked("readyz")[0] != 503 and n < 5000:
        plant.send(gauge, n, 100, 0.005)
        n += 100
    assert until(lambda: "nothing can be stored" in worker.asked("readyz")[1]), worker.said()
    assert plant.behind() > 0, "what is not stored is not committed"
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, limits)
    plant.check()
    assert worker.code is None
    worker.ready()


@pytest.mark.parametrize("harm", ["the beginning", "anywhere", "cut off"])
def test_a_damaged_state_is_named_and_made_again_from_the_log(cluster: Any, harm: str) -> None:
    plant = cluster(partitions=1)
    plant.start("ingest").ready()
    worker = plant.start("process")
    gauge = plant.gauge()
    plant.send(gauge, 0, 300)
    plant.check()
    worker.stop()
    (file,) = (path for path in plant.state(worker) if path.suffix == ".duckdb")
    data, dice = bytearray(file.read_bytes()), random.Random(harm)
    if harm == "cut off":
        del data[len(data) // 2 :]
    else:  # a byte of every page, or only of the first
        for page in range(0, len(data) if harm == "anywhere" else 4096, 4096):
            data[page + dice.randrange(4096)] ^= 0xFF
    file.write_bytes(data)
    plant.send(gauge, 300, 300)
    worker.start()
    plant.check()
    assert f"{file.name} is" in worker.said() or "its state is damaged" in worker.said()
    assert "is made again from the log" in worker.said() and worker.code is None
    assert file.with_suffix(".old").exists(), "the damaged one stays, to be looked at"


def test_a_state_whose_newest_records_are_torn(cluster: Any) -> None:
    """A power cut leaves half a record at the end of the write-ahead log: that is dropped, and read again from Kafka."""
    plant = cluster(partitions=1)
    plant.start("ingest").ready()
    worker = plant.start("process")
    gauge = plant.gauge()
    plant.send(gauge, 0, 300)
    plant.check()
    worker.kill()
    wal = next(path for path in plant.state(worker) if path.suffix == ".wal")
    whole = wal.read_bytes()
    assert len(whole) > 1000
    shutil.copy(wal, wal.with_suffix(".whole"))
    wal.write_bytes(whole[: len(whole) * 2 // 3])
    plant.send(gauge, 300, 100)
    worker.start()
    plant.check()
    assert worker.code is None
