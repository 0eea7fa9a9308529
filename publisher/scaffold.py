"""A new publication: configuration, a folder for templates and a first article, ready to edit and to run."""

from __future__ import annotations

import shutil
from pathlib import Path

from publisher.errors import RefusedError
from publisher.files import packaged

SCHEMA = "publisher.schema.json"


def init(directory: Path) -> tuple[Path, ...]:
    """Write a new publication into `directory`, which need not exist, and return its files in order.

    Raises RefusedError, having written nothing, when one of the files is already there or a file is in the place of a
    folder.
    """
    home = packaged("config/init")
    files = {directory / path.relative_to(home): path for path in sorted(home.rglob("*")) if path.is_file()}
    # The first line of the configuration names it, so that editors complete and check what is written.
    files[directory / "config" / SCHEMA] = packaged(f"config/{SCHEMA}")
    files = dict(sorted(files.items()))
    _refuse_overwriting(directory, tuple(files))
    for target, source in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return tuple(files)


def _refuse_overwriting(directory: Path, targets: tuple[Path, ...]) -> None:
    for target in targets:
        if target.exists() or target.is_symlink():
            raise RefusedError(f"{target} is already there, and init overwrites nothing; choose another folder")
        for parent in target.relative_to(directory).parents:
            folder = directory / parent
            if folder.exists() and not folder.is_dir():
                raise RefusedError(f"{folder} is a file where a folder is needed; choose another place")
