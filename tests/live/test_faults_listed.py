"""README.md names a test for every fault of the cluster profile, and each of them exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_fault_has_a_test_that_exists() -> None:
    text = (ROOT / "tests" / "live" / "README.md").read_text()
    rows = [line for line in text.splitlines() if ROW.match(line)]
    assert [int(ROW.match(line)[1]) for line in rows] == [*range(1, 23), *range(35, 41)]  # type: ignore[index]  # they match
    for row in rows:
        named = TEST.findall(row)
        assert named, row
        for file, test in named:
            assert (ROOT / file).exists(), f"{row}\nnames {file}, which is not there"
            assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{row}\nnames {test}, not in {file}"
