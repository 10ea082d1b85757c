"""Workers on one machine take a folder each, and the next start finds it again. Failpoints do nothing unless they are named."""

import subprocess
import sys

from scopeline.cluster.failpoint import failpoint
from scopeline.cluster.place import Place

HOLDS = "import sys; from pathlib import Path; from scopeline.cluster.place import Place; p = Place(Path(sys.argv[1]));"


def test_two_processes_get_two_folders_and_a_freed_one_is_taken_again(tmp_path):
    code = HOLDS + "print(p.folder.name, flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout and other.stdout.readline().strip() == "0"
        mine = Place(tmp_path)
        assert mine.folder.name == "1"
    finally:
        other.kill()
        other.communicate(timeout=300)
    again = Place(tmp_path)
    assert again.folder.name == "0"
    again.release()
    mine.release()


def test_a_failpoint_kills_only_where_and_when_it_is_named(monkeypatch):
    monkeypatch.delenv("SCOPELINE_FAILPOINT", raising=False)
    failpoint("process:after_apply")
    code = "from scopeline.cluster.failpoint import failpoint; failpoint('other')\n"
    code += "for n in range(5): print(n, flush=True); failpoint('here')"
    environment = {"SCOPELINE_FAILPOINT": "here@3", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert (done.returncode, done.stdout.split()) == (-9, ["0", "1", "2"])
