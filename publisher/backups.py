"""A backup as one file: a tar of the database, the keys and the journal, with a list of what is in it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from publisher import encryption
from publisher.errors import RefusedError

if TYPE_CHECKING:
    from publisher.encryption import Recipient

CONTENTS = "backup.json"
"""The list: the first member."""
DATABASE = "publisher.db"
"""The database's name in a backup, whatever it is called in its place."""
FOLDER = "backup.part"
"""Where what is to be packed, or was unpacked, waits in the data directory."""
_MOST = 10_000  # members; a data directory has a dozen that are kept
_CHUNK = 2**20
_LONGEST_CONTENTS = 2**20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a backup says of itself."""

    made_at: str
    version: str
    """Of the program that made it."""
    database: str
    """`sqlite`, or `postgresql`: then the database itself is not in it."""
    instance: str
    files: Mapping[str, str]
    """SHA-256 of each file, by its path in the data directory."""


def write(target: Path, contents: Contents, files: Mapping[str, Path], whom: Sequence[Recipient] = ()) -> None:
    """Write a backup that only its owner reads, whole or not at all. Blocking. Raises RefusedError, OSError.

    `whom`: who alone can decrypt it; it is written in the clear when there is nobody.
    """
    if target.exists():
        raise RefusedError(f"{target} exists; name another file")
    draft = target.with_name(f".{target.name}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with encryption.encrypting(file, whom) if whom else nullcontext(file) as clear:
                _pack(clear, contents, files)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)  # unlike a rename, it replaces nothing that came meanwhile
    except FileExistsError:
        raise RefusedError(f"{target} exists; name another file") from None
    finally:
        draft.unlink(missing_ok=True)
    sync(target.parent)


def _pack(clear: BinaryIO, contents: Contents, files: Mapping[str, Path]) -> None:
    with tarfile.open(fileobj=clear, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        text = json.dumps(asdict(contents), ensure_ascii=False, indent=2).encode()
        _add(tar, CONTENTS, len(text), io.BytesIO(text))
        for name, path in files.items():
            with path.open("rb") as source:
                _add(tar, name, path.stat().st_size, source)


def _add(tar: tarfile.TarFile, name: str, size: int, source: Any) -> None:  # noqa: ANN401 - a binary file
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    tar.addfile(member, source)


def unpack(backup: Path, folder: Path, identity: Path | None = None) -> Contents:
    """Write the files of a backup below `folder`, checked against its list. Blocking.

    `identity`: the file with the key of one that is encrypted. Raises RefusedError for what is no backup, or not the
    one that was made, or cannot be decrypted; OSError.
    """
    if not encryption.is_encrypted(backup):
        if identity is not None:
            raise RefusedError(f"{backup} is not encrypted; leave --identity out")
        return _unpack(backup, folder)
    if identity is None:
        raise RefusedError(f"{backup} is encrypted; name the file with the private key: --identity FILE")
    clear = folder / "backup.tar"
    try:
        encryption.decrypt(backup, clear, identity)
        return _unpack(clear, folder)
    finally:
        clear.unlink(missing_ok=True)


def _unpack(backup: Path, folder: Path) -> Contents:
    try:
        with tarfile.open(backup, mode="r:") as tar:
            contents = _contents(tar)
            found = {name: _extract(tar, name, folder) for name in contents.files}
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise RefusedError(f"{backup} is no backup of Publisher, or is cut off ({error})") from error
    wrong = [name for name, digest in contents.files.items() if found[name] != digest]
    if wrong:
        raise RefusedError(f"{backup} is damaged: {wrong[0]} is not what was put into it; take another backup")
    return contents


def _contents(tar: tarfile.TarFile) -> Contents:
    first = tar.next()
    if first is None or first.name != CONTENTS or not first.isreg() or first.size > _LONGEST_CONTENTS:
        raise tarfile.ReadError(f"it does not begin with {CONTENTS}")
    source = tar.extractfile(first)
    try:
        value = json.loads(source.read().decode() if source else "")
        files = {str(name): str(digest) for name, digest in value["files"].items()}
        said = {key: str(value[key]) for key in ("made_at", "version", "database", "instance")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise tarfile.ReadError(f"{CONTENTS} cannot be read: {error}") from error
    if len(files) > _MOST or not all(map(_harmless, files)):
        raise tarfile.ReadError("it names files that do not belong into a data directory")
    return Contents(**said, files=files)


def _harmless(name: str) -> bool:
    """Whether a name stays below the folder that it is written to."""
    path = PurePosixPath(name)
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts and path.parts != ()


def _extract(tar: tarfile.TarFile, name: str, folder: Path) -> str:
    """Write one file and return the SHA-256 of it."""
    try:
        member = tar.getmember(name)
    except KeyError:
        raise tarfile.ReadError(f"{name} is not in it") from None
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise tarfile.ReadError(f"{name} is no file")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of each file. Blocking."""
    found = {}
    for name, path in files.items():
        with path.open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def sync(*folders: Path) -> None:
    """Let what was made in these folders survive a power cut."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def left_in(folder: Path, beside: Iterable[str]) -> list[str]:
    """Return the names in a folder but for these; none when it does not exist."""
    return sorted(path.name for path in folder.iterdir() if path.name not in set(beside)) if folder.exists() else []
