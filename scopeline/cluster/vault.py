"""Where the archive's files lie: a folder, or a bucket of an S3-compatible store. Put whole and durable, or not at all."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from schemas.connections import Archive
from scopeline.logs import hide

_CHUNK = 1 << 20


class VaultProblem(Exception):
    """The archive's place cannot be used; the text names it and says what to do."""


class Missing(VaultProblem):
    """There is no file of this name."""


class Vault(Protocol):
    """Files by name, like `site=a/day=2026-01-01/x.parquet`."""

    where: str

    def there(self) -> bool:
        """Whether the folder or the bucket is there."""

    def prepare(self) -> bool:
        """Make sure that files can be put here; whether something had to be made."""

    def put(self, name: str, data: Path | bytes) -> None:
        """Store a file; when this returns, it survives a power cut. A file of that name is replaced as a whole."""

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """The file as a local one, for reading; Missing where there is none."""

    def names(self, folder: str) -> list[str]:
        """The names of the files directly in a folder, sorted; empty where there is no such folder."""

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""


def vault(archive: Archive, plant_dir: Path) -> Vault:
    """The place that plant.yaml's `archive:` names; VaultProblem where its credentials cannot be read."""
    if archive.path.startswith("s3://"):
        return Bucket(archive, plant_dir)
    return Folder(plant_dir / archive.path)


def read(place: Vault, name: str) -> bytes:
    """The content of a small file."""
    with place.local(name) as path:
        return path.read_bytes()


def digest(path: Path) -> str:
    """The sha256 of a local file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Folder:
    """A local folder, or one of a network file system."""

    def __init__(self, root: Path) -> None:
        self.root, self.where = root, str(root)

    def there(self) -> bool:
        return self.root.is_dir()

    def prepare(self) -> bool:
        with self._said(""):
            made = not self.there()
            self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
            with tempfile.TemporaryFile(dir=self.root):
                return made

    def put(self, name: str, data: Path | bytes) -> None:
        path = self.root / name
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with self._said(name):
            self._folders(path.parent)
            try:
                with part.open("wb") as file:
                    if isinstance(data, bytes):
                        file.write(data)
                    else:
                        with data.open("rb") as source:
                            shutil.copyfileobj(source, file, _CHUNK)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _sync(path.parent)

    def _folders(self, folder: Path) -> None:
        """Make the folders on the way, each of them durable in the one above."""
        if not folder.is_dir():
            self._folders(folder.parent)
            folder.mkdir(exist_ok=True)
            _sync(folder.parent)

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        path = self.root / name
        if not path.is_file():
            raise Missing(f"archive: there is no file {path}")
        yield path

    def names(self, folder: str) -> list[str]:
        path = self.root / folder
        with self._said(folder):
            return sorted(f"{folder}/{one.name}" for one in path.iterdir() if one.name[0] != ".") if path.is_dir() else []

    def delete(self, name: str) -> None:
        with self._said(name):
            (self.root / name).unlink(missing_ok=True)

    @contextmanager
    def _said(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise VaultProblem(
                f"archive.path: {self.root / name} cannot be used ({error.strerror or error}). "
                "Look at its permissions and free space."
            ) from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Bucket:
    """A bucket of an S3-compatible store; an object is seen when all of it has arrived. Credentials are never printed."""

    def __init__(self, archive: Archive, plant_dir: Path) -> None:
        self.where = archive.path
        self.root = archive.path.removeprefix("s3://").strip("/")
        self._secrets = _credentials(archive, plant_dir)
        endpoint = urlsplit(archive.endpoint) if archive.endpoint else None
        with self._said(""):
            self._store = fs.S3FileSystem(
                **({"access_key": self._secrets[0], "secret_key": self._secrets[1]} if self._secrets else {}),
                **({"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint else {}),
                **({"region": archive.region} if archive.region else {}),
                allow_bucket_creation=True,
                background_writes=False,
            )

    def there(self) -> bool:
        with self._said(""):
            return bool(self._store.get_file_info(self.root.split("/")[0]).type != fs.FileType.NotFound)

    def prepare(self) -> bool:
        made = not self.there()
        with self._said(""):
            if made:
                self._store.create_dir(self.root.split("/")[0], recursive=False)
            return made

    def put(self, name: str, data: Path | bytes) -> None:
        with self._said(name), self._store.open_output_stream(f"{self.root}/{name}", buffer_size=_CHUNK) as target:
            if isinstance(data, bytes):
                target.write(data)
            else:
                with data.open("rb") as source:
                    shutil.copyfileobj(source, target, _CHUNK)

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix="scopeline-archive-") as copy:
            with self._said(name), self._store.open_input_stream(f"{self.root}/{name}", buffer_size=_CHUNK) as source:
                shutil.copyfileobj(source, copy, _CHUNK)
            copy.flush()
            yield Path(copy.name)

    def names(self, folder: str) -> list[str]:
        with self._said(folder):
            found = self._store.get_file_info(fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True))
        return sorted(f"{folder}/{one.base_name}" for one in found if one.type == fs.FileType.File)

    def delete(self, name: str) -> None:
        with self._said(name):
            if self._store.get_file_info(f"{self.root}/{name}").type != fs.FileType.NotFound:
                self._store.delete_file(f"{self.root}/{name}")

    @contextmanager
    def _said(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise Missing(f"archive: there is no object {self.where}/{name}") from None
        except (OSError, pa.ArrowException) as error:
            text = str(error)
            for secret in self._secrets:
                text = text.replace(secret, "***")
            remedy = "Look at archive: in plant.yaml (endpoint, region, credentials_file), and whether the store answers."
            raise VaultProblem(f"archive.path: {self.where}/{name} cannot be used ({text}). {remedy}") from None


def _credentials(archive: Archive, plant_dir: Path) -> tuple[str, ...]:
    if archive.credentials_file is None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            hide(os.environ.get(name, ""))
        return ()
    try:
        lines = (plant_dir / archive.credentials_file).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise VaultProblem(
            f"archive.credentials_file: {archive.credentials_file} cannot be read ({getattr(error, 'strerror', 'no text')}). "
            "Write the access key into its first line and the secret key into its second."
        ) from None
    for line in lines:
        hide(line)
    if len(lines) != 2:
        raise VaultProblem(
            f"archive.credentials_file: {archive.credentials_file} holds {len(lines)} words. "
            "Write the access key into its first line and the secret key into its second."
        )
    return tuple(lines)
