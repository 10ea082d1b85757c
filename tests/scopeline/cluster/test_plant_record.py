"""A version as a record: the same bytes back, no secret in it, nothing written where it does not belong."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scopeline.cluster.plant_record import PlantTopicError, Published, collect, decode, encode
from scopeline.cluster.plant_topic import unpack
from scopeline.plant import fingerprint

TEXT = b"organisation: A\r\nsites: [{site: duisburg, timezone: Europe/Berlin}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "works"
    for name in ("feeds", "secrets", "archive"):
        (place / name).mkdir(parents=True)
    (place / "plant.yaml").write_bytes(b"\xef\xbb\xbf" + TEXT)
    (place / "feeds" / "a.yaml").write_text("feed: a\ntopic: ü/x\ndecoder: plain\nsite: duisburg\n")
    (place / "secrets" / "token").write_text("canary")
    (place / "notes.txt").write_text("mine")
    return place


def version(folder: Path, files: dict[str, bytes] | None = None) -> Published:
    mark = fingerprint(folder)
    return Published(f"000003-{mark[:12]}", 3, mark, datetime(2026, 1, 1, tzinfo=UTC), "anna@pc", files or collect(folder))


def test_a_folder_comes_back_byte_for_byte(folder: Path, tmp_path: Path):
    sent = version(folder)
    assert encode(sent) == encode(version(folder)), "the same content gives the same bytes"
    found = decode(sent.version.encode(), encode(sent))
    assert found == sent and set(found.files) == {"plant.yaml", "feeds/a.yaml"}
    place = unpack(found, tmp_path / "state")
    assert fingerprint(place) == fingerprint(folder) and (place / "plant.yaml").read_bytes() == b"\xef\xbb\xbf" + TEXT
    (place / "feeds" / "a.yaml").write_text("changed by somebody\n")
    assert fingerprint(unpack(found, tmp_path / "state")) == fingerprint(folder), "made again"


@pytest.mark.parametrize("key", ["password_file: meters/x.csv", "tls: {key_file: meters/x.csv}"])
def test_a_file_named_as_a_secret_is_refused(folder: Path, key: str):
    (folder / "meters").mkdir()
    (folder / "meters" / "x.csv").write_text("feed,device,meter\n")
    assert "meters/x.csv" in collect(folder)
    with (folder / "plant.yaml").open("a") as file:
        file.write(f"brokers: {{b: {{host: h, {key}}}}}\n")
    with pytest.raises(PlantTopicError, match=r"meters/x\.csv is a secret.*Move it into secrets/"):
        collect(folder)


def test_a_link_into_secrets_is_refused(folder: Path):
    (folder / "feeds" / "t.yaml").symlink_to(folder / "secrets" / "token")
    with pytest.raises(PlantTopicError, match=r"feeds/t\.yaml is a secret"):
        collect(folder)


@pytest.mark.parametrize(
    "name", ["../plant.yaml", "/etc/plant.yaml", "feeds/../../x.yaml", "notes.txt", "secrets/token", "feeds\\a.yaml"]
)
def test_names_that_lead_elsewhere_are_refused(folder: Path, name: str):
    sent = version(folder, {name: b"x"})
    with pytest.raises(PlantTopicError, match="no file of a plant folder"):
        decode(sent.version.encode(), encode(sent))


def test_foreign_damaged_and_newer_records_are_told_apart(folder: Path):
    sent = version(folder)
    key, good = sent.version.encode(), encode(sent)
    for at in range(0, len(good), 7):
        spoiled = good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :]
        try:
            assert decode(key, spoiled).files == sent.files  # a byte of the header that gzip does not mind
        except PlantTopicError as problem:
            assert "damaged" in str(problem) or "no file of a plant folder" in str(problem)
    with pytest.raises(PlantTopicError, match="no version of ours"):
        decode(b"x", good)
    newer = json.loads(gzip.decompress(good)) | {"format": 99}
    with pytest.raises(PlantTopicError, match="newer Scopeline: update this one"):
        decode(key, gzip.compress(json.dumps(newer).encode()))
    bomb = gzip.compress(bytes(80 * 1024 * 1024))
    with pytest.raises(PlantTopicError, match="larger than 64 MiB"):
        decode(key, bomb)
