"""From files and environment to a Config, or to every problem at once."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from publisher.config import environment, read, rules, sentences
from publisher.config.models import Config
from publisher.config.places import Finding, Places, names_of
from publisher.errors import ConfigurationError, Problem
from publisher.toml_lines import KeyPath

DEFAULT_FILE = Path("config/publisher.toml")
NEWSLETTERS = "newsletters"
"""Name of the key, and of the folder beside the file whose `*.toml` are one newsletter each."""
_SECRET_BYTES = 4096
_PATHS = {
    "smtp": ("password_file",),
    "dkim": ("key_file", "former_key_file", "ed25519_key_file"),
    "web": ("media",),
}
"""Keys of single tables that hold paths."""


def find(option: Path | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """Return the configuration file: `--config`, else PUBLISHER_CONFIG, else `config/publisher.toml` below `cwd`.

    Raises ConfigurationError when it is not there.
    """
    named = option or (Path(environ["PUBLISHER_CONFIG"]) if environ.get("PUBLISHER_CONFIG") else None)
    file = cwd / (named or DEFAULT_FILE)
    if not file.exists():
        hint = "'publisher init DIR' writes a new publication; --config or PUBLISHER_CONFIG name an existing one"
        raise ConfigurationError((Problem(str(file), None, "", "there is no such file", hint),))
    return file


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read the configuration, with absolute paths and the password in place.

    Raises ConfigurationError with all problems, in the order of files and lines. Only a file that is no TOML hides
    problems of its own.
    """
    file = Path(os.path.abspath(path))  # noqa: PTH100 - `..` goes as the operator sees it, links are not followed
    main = read.parse(file)
    if isinstance(main, Problem):
        raise ConfigurationError((main,))
    draft = _Draft(main)
    draft.add_newsletters()
    draft.add_environment(environ)
    return draft.finish(environ)


class _Draft:
    """The values gathered so far, where each stands, and what was wrong on the way."""

    def __init__(self, main: read.Parsed) -> None:
        self.raw = main.raw
        self.base = main.file.parent
        self.files = [str(main.file)]
        self.lines: dict[KeyPath, tuple[str, int | None]] = {}
        self.problems: list[Problem] = []
        self._place((), main)
        self.raw.setdefault("data_dir", str(Config.model_fields["data_dir"].default))
        read.resolve(self.raw, self.base, ("data_dir", "database_url_file", "templates"))
        for key, files in _PATHS.items():
            if isinstance(table := self.raw.get(key), dict):
                read.resolve(table, self.base, files)
        for key, inner in (("sources", "path"), (NEWSLETTERS, "templates"), ("transports", "password_file")):
            for table in self._list(key):
                if isinstance(table, dict):
                    read.resolve(table, self.base, (inner,))

    def add_newsletters(self) -> None:
        """Add the newsletters that have files of their own."""
        folder = self.base / NEWSLETTERS
        for file in sorted(folder.glob("*.toml")):
            self.files.append(str(file))
            parsed = read.parse(file)
            if isinstance(parsed, Problem):
                self.problems.append(parsed)
            elif isinstance(self.raw.setdefault(NEWSLETTERS, []), list):
                read.resolve(parsed.raw, folder, ("templates",))
                self.raw[NEWSLETTERS].append(parsed.raw)
                self._place((NEWSLETTERS, len(self.raw[NEWSLETTERS]) - 1), parsed)

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Let the environment's values take the place of the files'."""
        for found in environment.overrides(Config, environ):
            if isinstance(found, Problem):
                self.problems.append(found)
                continue
            *tables, key = found.path
            table = self.raw
            for name in tables:
                table = table.setdefault(str(name), {})
                if not isinstance(table, dict):
                    break
            else:
                table[str(key)] = found.value
                self.lines[found.path] = (environment.place(found.variable), None)

    def finish(self, environ: Mapping[str, str]) -> Config:
        """Judge everything; return the configuration or raise ConfigurationError."""
        findings = [*rules.findings(self.raw), *self._read_secrets(environ)]
        config = None
        try:
            config = Config.model_validate(self.raw)
        except ValidationError as error:
            findings += sentences.findings(Config, error)
        places = Places(tuple(self.files), self.lines, names_of(self.raw))
        problems = [*self.problems, *places.problems(findings)]
        if config is None or problems:
            raise ConfigurationError(places.in_order(problems))
        config._places = places
        return config

    def _read_secrets(self, environ: Mapping[str, str]) -> Iterator[Finding]:
        """Put what files or the system's credentials keep where it belongs."""
        yield from _read_secret((), self.raw, "database_url", "database_url", environ)
        yield from _read_secret(("smtp",), self.raw.setdefault("smtp", {}), "password", "smtp.password", environ)
        for index, table in enumerate(self._list("transports")):
            name = table.get("name") if isinstance(table, dict) else None
            yield from _read_secret(("transports", index), table, "password", f"transports.{name}.password", environ)

    def _place(self, prefix: KeyPath, parsed: read.Parsed) -> None:
        self.lines |= {(*prefix, *path): (str(parsed.file), line) for path, line in parsed.lines.items()}
        if prefix:
            self.lines[prefix] = (str(parsed.file), 1)

    def _list(self, key: str) -> list[Any]:
        found = self.raw.get(key)
        return found if isinstance(found, list) else []


def _read_secret(
    at: KeyPath, table: object, key: str, credential: str, environ: Mapping[str, str]
) -> Iterator[Finding]:
    if not isinstance(table, dict) or table.get(key):
        return
    file = table.get(f"{key}_file")
    if file is None and (folder := environ.get("CREDENTIALS_DIRECTORY")) and re.fullmatch(r"[a-z0-9._-]+", credential):
        # systemd's LoadCredential= (systemd.exec(5)); the folder may be there for other credentials only.
        found = Path(folder) / credential
        file = str(found) if found.is_file() else None
    if isinstance(file, str) and file and "\0" not in file:
        secret = _secret((*at, f"{key}_file"), Path(file))
        if isinstance(secret, Finding):
            yield secret
        else:
            table[key] = secret


def _secret(path: KeyPath, file: Path) -> str | Finding:
    """Return what a file holds, without the line break at its end, or why it may not be used."""
    try:
        if not file.is_file():
            return Finding(path, f"there is no file {file}")
        if file.stat().st_mode & stat.S_IROTH:
            return Finding(path, f"{file} can be read by everybody on this machine", f"chmod o-r {file}")
        with file.open("rb") as opened:
            secret = opened.read(_SECRET_BYTES).decode("utf-8").rstrip("\r\n")
    except OSError as error:
        return Finding(path, f"{file} cannot be read: {error.strerror or error}")
    except UnicodeDecodeError:
        return Finding(path, f"{file} is not UTF-8 text")
    return secret or Finding(path, f"{file} is empty")
