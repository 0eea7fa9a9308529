"""Databases on network disks are refused before they are made (delivery §5.6)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.errors import StoreError
from publisher.store import mounts
from publisher.store.database import Database

HOST = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid shared:5 - proc proc rw
40 22 0:50 / /srv rw,relatime shared:7 master:1 - nfs4 server:/export rw,vers=4.2
41 40 8:17 / /srv/local\\040disk rw - xfs /dev/sdb1 rw
42 22 0:51 / /mnt/share rw - cifs //server/share rw
43 22 8:33 / /mnt/share rw - ext4 /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/home/me/data", "ext4"),
        ("/srv", "nfs4"),
        ("/srv/publication/data", "nfs4"),
        ("/srvice", "ext4"),
        ("/srv/local disk/data", "xfs"),
        ("/mnt/share/data", "ext4"),  # mounted over it later
    ],
)
def test_the_innermost_mount_decides(folder: str, kind: str) -> None:
    assert mounts.kind_of(PurePosixPath(folder), HOST) == kind


@given(st.text(max_size=400), st.lists(st.sampled_from([" ", " - ", "/", "\\040", "\\999", "\n", "x"]), max_size=60))
def test_no_table_of_mounts_breaks_it(text: str, pieces: list[str]) -> None:
    for table in (text, "".join(pieces), f"{HOST}{text}"):
        assert isinstance(mounts.kind_of(PurePosixPath("/srv/data"), table), str)


def test_a_network_disk_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """§5.6, J6: locks that do not hold and syncs that do not reach a disk would break every promise in silence."""
    table = tmp_path / "mountinfo"
    table.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda rw\n40 22 0:50 / {tmp_path}/net rw - nfs4 server:/ rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    (tmp_path / "net").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "net")
    for folder in (tmp_path / "net", tmp_path / "net" / "data", tmp_path / "link"):
        with pytest.raises(StoreError, match=r"network file system \(nfs4\).*local disk.*PostgreSQL"):
            Database.open(data_dir=folder)
    assert list((tmp_path / "net").iterdir()) == []
    Database.open(data_dir=tmp_path / "here").close()
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "nothing")
    Database.open(data_dir=tmp_path / "net").close()
