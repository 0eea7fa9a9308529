"""An encrypted backup opens with the key that it was made for, and with nothing else."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from pathlib import Path
from typing import BinaryIO, cast

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from publisher import backups, encryption
from publisher.backups import Contents
from publisher.errors import RefusedError
from tests.publications import write_publication
from tests.test_cli import Command

CANARY = "canary@reader.example"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, Path]:
    """A public key, and the file with the private one as age-keygen writes it."""
    identity = pyrage.x25519.Identity.generate()
    file = tmp_path / "backup-key.txt"
    file.write_text(f"# created: 2026-11-30T07:00:00Z\n# public key: {identity.to_public()}\n{identity}\n")
    return str(identity.to_public()), file


@pytest.fixture
def publisher(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The commands of a small publication."""
    return Command(write_publication(tmp_path), capsys, monkeypatch)


def encrypted(file: Path, content: bytes, *texts: str) -> Path:
    """Encrypt a file for these public keys."""
    with file.open("wb") as target, encryption.encrypting(target, encryption.recipients(texts)) as clear:
        clear.write(content)
    return file


def test_a_backup_that_is_encrypted_and_the_way_back(
    publisher: Command, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    """§8: nobody who finds the file reads an address in it; who holds the key restores all of it."""
    public, private = keys
    assert publisher("subscribers", "add", CANARY, "--consent", "paper form")[0] == 0
    secret = (tmp_path / "data" / "secret.key").read_bytes()
    (folder := tmp_path / "backups").mkdir()
    done = publisher.json("backup", str(folder), "--recipient", public)
    [file] = folder.iterdir()
    assert done["file"] == str(file)
    assert file.name.endswith("Z.tar.age")
    assert done["encrypted"] is True
    content = file.read_bytes()
    assert content.startswith(b"age-encryption.org/v1\n")
    assert not any(word in content for word in (CANARY.encode(), secret.strip(), b"backup.json", b"publisher.db"))
    assert not (tmp_path / "data" / "backup.part").exists()
    (tmp_path / "data").rename(tmp_path / "data.before")

    code, _, err = publisher("restore", str(file))
    assert code == 4
    assert "is encrypted; name the file with the private key: --identity FILE" in " ".join(err.split())
    assert publisher("restore", str(file), "--identity", str(private))[0] == 0
    assert (tmp_path / "data" / "secret.key").read_bytes() == secret
    assert not (tmp_path / "data" / "backup.part").exists()
    assert [reader["address"] for reader in publisher.json("subscribers", "list")] == [CANARY]


def test_a_recipient_that_is_no_public_key_is_refused_before_anything_is_copied(
    publisher: Command, tmp_path: Path, keys: tuple[str, Path]
) -> None:
    private = keys[1].read_text().splitlines()[-1]
    for wrong in ("me@example.org", private, "ssh-ed25519 AAAA", "", keys[0][:-1]):
        code, _, err = publisher("backup", str(tmp_path / "b.tar"), "--recipient", wrong)
        assert code == 4
        assert "is no public key" in err
        assert "age-keygen" in err
    assert not (tmp_path / "b.tar").exists()


def test_a_backup_in_the_clear_needs_no_key(publisher: Command, tmp_path: Path, keys: tuple[str, Path]) -> None:
    publisher("subscribers", "add", CANARY, "--consent", "paper form")
    assert publisher.json("backup", str(tmp_path / "b.tar"))["encrypted"] is False
    (tmp_path / "data").rename(tmp_path / "data.before")
    code, _, err = publisher("restore", str(tmp_path / "b.tar"), "--identity", str(keys[1]))
    assert code == 4
    assert "is not encrypted; leave --identity out" in " ".join(err.split())


def test_each_of_several_recipients_opens_it_and_nobody_else(tmp_path: Path, keys: tuple[str, Path]) -> None:
    """A second key in a safe, for the day on which the first one is lost; one may be that of SSH."""
    private = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "id_ed25519").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    content = os.urandom(300_000)
    file = encrypted(tmp_path / "encrypted", content, keys[0], public.decode() + " op@example.org\n")
    for number, identity in enumerate((keys[1], tmp_path / "id_ed25519")):
        encryption.decrypt(file, clear := tmp_path / f"clear{number}", identity)
        assert clear.read_bytes() == content
        assert clear.stat().st_mode & 0o777 == 0o600
    (stranger := tmp_path / "stranger").write_text(str(pyrage.x25519.Identity.generate()))
    with pytest.raises(RefusedError, match=r"encrypted cannot be opened with .*stranger: "):
        encryption.decrypt(file, tmp_path / "none", stranger)


@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"me@example.org\n", b"\xff\n", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"]
)
def test_a_file_without_a_private_key_is_named(tmp_path: Path, keys: tuple[str, Path], content: bytes) -> None:
    file = encrypted(tmp_path / "encrypted", b"x", keys[0])
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(RefusedError, match=r"key holds no private key.*; name the file that age-keygen wrote"):
        encryption.decrypt(file, tmp_path / "clear", tmp_path / "key")


@pytest.mark.parametrize("how", ["cut", "turned", "longer"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(tmp_path: Path, keys: tuple[str, Path], how: str) -> None:
    contents = Contents(made_at="2026-11-30T07:00:00Z", version="1", database="sqlite", instance="x", files={})
    backups.write(file := tmp_path / "b.tar.age", contents, {}, encryption.recipients([keys[0]]))
    raw = file.read_bytes()
    middle = len(raw) // 2
    turned = raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]
    file.write_bytes({"cut": raw[:-20], "turned": turned, "longer": raw + b"x"}[how])
    (folder := tmp_path / "folder").mkdir()
    with pytest.raises(RefusedError, match=r"b\.tar\.age cannot be opened with"):
        backups.unpack(file, folder, keys[1])
    assert list(folder.iterdir()) == []


class Full(io.RawIOBase):
    """A disk that is full after some bytes."""

    def __init__(self, room: int) -> None:
        self._room = room

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        size = len(cast("bytes", data))
        self._room -= size
        if self._room < 0:
            raise OSError(28, "No space left on device")
        return size


def test_a_full_disk_ends_it_with_its_own_words(keys: tuple[str, Path]) -> None:
    """Whoever writes finds the pipe closed; that is not what happened."""
    whom = encryption.recipients([keys[0]])

    def write() -> None:
        with encryption.encrypting(cast("BinaryIO", Full(200_000)), whom) as clear:
            for _ in range(100):
                clear.write(b"x" * 100_000)

    with pytest.raises(OSError, match="No space left on device"):
        write()


def test_what_goes_wrong_while_writing_is_told_as_it_is(tmp_path: Path, keys: tuple[str, Path]) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        (tmp_path / "encrypted").open("wb") as target,
        encryption.encrypting(target, encryption.recipients([keys[0]])),
    ):
        raise ZeroDivisionError


@given(raw=st.binary(max_size=300), begins=st.booleans())
def test_no_rubbish_is_taken_for_an_encrypted_backup(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, begins: bool
) -> None:
    folder = tmp_path_factory.mktemp("rubbish")
    (folder / "key").write_text(str(pyrage.x25519.Identity.generate()))
    (file := folder / "file").write_bytes(b"age-encryption.org/v1\n" * begins + raw)
    assert encryption.is_encrypted(file) or not begins
    with pytest.raises(RefusedError):
        backups.unpack(file, folder, folder / "key")


@pytest.mark.skipif(
    shutil.which("age") is None and not os.environ.get("CI"), reason="age is not installed (Debian package age)"
)
def test_age_itself_opens_what_we_wrote(tmp_path: Path, keys: tuple[str, Path]) -> None:
    """The way back needs nothing of ours."""
    file = encrypted(tmp_path / "encrypted", b"all of it", keys[0])
    done = subprocess.run(["age", "-d", "-i", str(keys[1]), str(file)], capture_output=True, check=True, timeout=60)
    assert done.stdout == b"all of it"
