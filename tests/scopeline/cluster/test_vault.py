"""Where the archive lies: whole files or none, in a folder and in an S3-compatible store; no credentials in any message."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.connections import Archive
from scopeline.cluster.vault import Bucket, Folder, Missing, Vault, VaultProblem, read, vault

ACCESS, HIDDEN = "AKIACANARY31415", "canary-secret-27182"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="moto[server] is a development dependency")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


def stored(endpoint: str, folder: Path, bucket: str = "plant") -> Archive:
    (folder / "s3").write_text(f"{ACCESS}\n{HIDDEN}\n")
    return Archive(path=f"s3://{bucket}/logs", endpoint=endpoint, region="eu-central-1", credentials_file="s3")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    if request.param == "folder":
        return vault(Archive(path="archive"), tmp_path)
    return vault(stored(request.getfixturevalue("endpoint"), tmp_path, "b" + tmp_path.name.replace("_", "-").lower()), tmp_path)


def test_files_come_back_as_they_were_put(place: Vault, tmp_path: Path):
    assert not place.there() and place.prepare() and not place.prepare() and place.there()
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 12_000)
    place.put("site=a/day=2026-01-01/x.parquet", big)
    place.put("site=a/day=2026-01-01/y.parquet", b"small")
    assert read(place, "site=a/day=2026-01-01/x.parquet") == big.read_bytes()
    place.put("site=a/day=2026-01-01/y.parquet", b"again")
    assert read(place, "site=a/day=2026-01-01/y.parquet") == b"again"
    names = place.names("site=a/day=2026-01-01")
    assert names == ["site=a/day=2026-01-01/x.parquet", "site=a/day=2026-01-01/y.parquet"]
    place.delete("site=a/day=2026-01-01/x.parquet")
    place.delete("site=a/day=2026-01-01/x.parquet")
    assert place.names("site=a/day=2026-01-01") == names[1:] and place.names("nowhere") == []
    with pytest.raises(Missing, match="there is no"):
        read(place, "site=a/day=2026-01-01/x.parquet")


def test_a_file_that_cannot_be_written_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = Folder(tmp_path / "archive")
    place.prepare()
    place.put("a/x", b"before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scopeline.cluster.vault.os.fsync", full)
    with pytest.raises(VaultProblem, match=r"No space left on device\)\. Look at its permissions and free space"):
        place.put("a/x", b"after")
    assert read(place, "a/x") == b"before" and [path.name for path in (tmp_path / "archive" / "a").iterdir()] == ["x"]


def test_credentials_are_asked_for_and_never_said(tmp_path: Path, endpoint: str):
    archive = stored(endpoint, tmp_path)
    (tmp_path / "s3").unlink()
    with pytest.raises(VaultProblem, match=r"archive\.credentials_file: s3 cannot be read.*first line"):
        vault(archive, tmp_path)
    (tmp_path / "s3").write_text(f"{ACCESS}\n")
    with pytest.raises(VaultProblem, match="holds 1 words") as problem:
        vault(archive, tmp_path)
    assert ACCESS not in str(problem.value)


def test_a_store_that_does_not_answer_is_named(tmp_path: Path):
    place = vault(stored("http://127.0.0.1:1", tmp_path), tmp_path)
    assert isinstance(place, Bucket)
    with pytest.raises(VaultProblem, match=r"archive\.path: s3://plant/logs.*endpoint") as problem:
        place.there()
    assert ACCESS not in str(problem.value) and HIDDEN not in str(problem.value)
