"""What kind of file system a folder is on: SQLite's locks and syncs hold on local disks only."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells (proc(5)); elsewhere nobody is refused."""

REMOTE = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs"),
        *("ocfs2", "gfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.cephfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs"),
    )
)
"""Kinds on which several machines, or caches of their own, stand between a write and the disk."""

_ESCAPED = re.compile(r"\\([0-7]{3})")


def kind_of(folder: PurePosixPath, mounts: str) -> str:
    """Return the kind of file system that an absolute path without links is on, "" when `mounts` does not tell."""
    found, kind = -1, ""
    for line in mounts.splitlines():
        before, separated, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if not separated or len(fields) < 5:
            continue
        point = PurePosixPath(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # Of two mounts on one point the later one is seen.
        if len(point.parts) >= found and folder.is_relative_to(point):
            found, kind = len(point.parts), kinds[0]
    return kind


def remote_kind(folder: Path) -> str:
    """Return the kind of a network file system that a folder is on, or will be; "" for a local disk. Blocking."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        kind = kind_of(PurePosixPath(folder.resolve()), mounts)
    except (OSError, RuntimeError):  # no /proc, or links that lead round and round: opening says it better
        return ""
    return kind if kind in REMOTE else ""
