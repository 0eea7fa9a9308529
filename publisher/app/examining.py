"""The doctor's visit: looks at everything around the service, changes nothing and sends nothing."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from publisher import config as configuration
from publisher import doctor, links, reports
from publisher.app.looking import check_templates
from publisher.clock import now
from publisher.config import Config
from publisher.dns import Resolver, System
from publisher.doctor import Directory, Line, Records
from publisher.errors import ConfigurationError, PublisherError, RenderError
from publisher.feeds.places import folder
from publisher.http import Fetcher
from publisher.mail.dkim import Signer
from publisher.mail.smtp import Timeouts, Transport
from publisher.store import feed_files
from publisher.store.database import Connection, Database
from publisher.store.lock import DirectoryLock

PATIENCE = 10.0
"""Seconds that a mail server or the public address may take for each answer."""

TIMEOUTS = Timeouts(connect=PATIENCE, greeting=PATIENCE)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database said: when the service last lived, and its feed files."""

    last_seen: datetime | None = None
    files: tuple[str, ...] = ()


async def examine(config: Config, *, resolver: Resolver | None = None, fetcher: Fetcher | None = None) -> list[Line]:
    """Look at everything; a line for each thing."""
    lines = list(doctor.configuration((), (*configuration.check(config), *configuration.sending_problems(config))))
    found = await asyncio.to_thread(_directory, config.data_dir)
    lines += doctor.directory(found)
    line, known = await asyncio.to_thread(_database, config)
    lines += [line, *doctor.clock(now(), known.last_seen, _zones())]
    lines.append(await asyncio.to_thread(_templates, config))
    lines += await asyncio.to_thread(_feeds, config, known.files)
    if config.smtp.embedded:
        lines.append(Line("mail", doctor.Level.OK, "stays in the embedded inbox: no server and no DNS to ask"))
    else:
        lines += await asyncio.gather(*(_smtp(config, name) for name, server in config.servers.items() if server.host))
        lines += await _names(config, resolver or System())
    lines += await _public(config, fetcher, running=found.holder is not None)
    return lines


def examine_broken(error: ConfigurationError) -> list[Line]:
    """Return what can be said when the configuration cannot be used."""
    return list(doctor.configuration(error.problems, ()))


def _directory(path: Path) -> Directory:
    exists = path.is_dir()
    there = next(folder for folder in (path, *path.parents) if folder.is_dir())
    return Directory(
        path=str(path),
        exists=exists,
        writable=exists and os.access(path, os.W_OK | os.X_OK),
        holder=DirectoryLock.holder_of(path),
        free=shutil.disk_usage(there).free,
    )


def _database(config: Config) -> tuple[Line, _Known]:
    def work(conn: Connection) -> _Known:
        return _Known(reports.last_seen(conn), tuple(file.name for file in feed_files.listing(conn)))

    try:
        database = Database.look(config.database_url, data_dir=config.data_dir)
        if database is None:
            return doctor.database("", "", exists=False), _Known()
        with database:
            return doctor.database(database.where, "", exists=True), database.read(work)
    except PublisherError as error:
        return doctor.database("", str(error), exists=True), _Known()


def _zones() -> str:
    """Return the release of the time zone data that this program brings along: `2026c`."""
    try:
        return importlib.metadata.version("tzdata")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _templates(config: Config) -> Line:
    try:
        check_templates(config)
    except RenderError as error:
        return doctor.templates(str(error))
    return doctor.templates("")


def _feeds(config: Config, names: tuple[str, ...]) -> list[Line]:
    problems = []
    for name in names:
        try:
            problem = doctor.feed_problem(name, (folder(config) / name).read_bytes())
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        if problem:
            problems.append((name, problem))
    return list(doctor.feeds(problems, len(names)))


async def _smtp(config: Config, name: str) -> Line:
    server = config.servers[name]
    hello = urlsplit(links.public_url(config)).hostname or "localhost"
    fault = await Transport.from_config(server, hello_name=hello, timeouts=TIMEOUTS).try_out()
    problem = f"{fault.phase}: {fault.code or ''} {fault.text}".replace(":  ", ": ") if fault else ""
    encrypted = server.security != "plain"
    where = f"{server.host}:{server.port}"
    return doctor.smtp(name, where, problem, encrypted=encrypted, logged_in=bool(server.username))


async def _names(config: Config, resolver: Resolver) -> list[Line]:
    """Ask the DNS for what receivers will ask it."""
    senders = list(dict.fromkeys(_domain(newsletter.from_address) for newsletter in config.newsletters))
    envelopes = [config.smtp.bounce_domain] if config.smtp.bounce_domain else senders
    lines = [doctor.spf(await resolver.txt(domain)) for domain in envelopes]
    lines += [doctor.mx(await resolver.mx(domain)) for domain in envelopes]
    for name, record in _keys(config, senders):
        lines.append(doctor.dkim(await resolver.txt(name), record))
    for domain in senders:
        lines.append(doctor.dmarc(domain, await _policy(resolver, domain)))
        signing = (config.dkim.domain or domain) if config.dkim.selector else ""
        lines.append(doctor.aligned(domain, signing, config.smtp.bounce_domain or domain))
    return lines


def _keys(config: Config, senders: list[str]) -> Iterator[tuple[str, str]]:
    signer = Signer.load(config)
    for domain in [config.dkim.domain] if config.dkim.domain else senders:
        for selector, record in signer.records.items() if signer else ():
            yield f"{selector}._domainkey.{domain}", record


async def _policy(resolver: Resolver, domain: str) -> Records:
    """Return the nearest DMARC record: of the domain, else of one above it."""
    first = Records(domain)
    for number, one in enumerate(doctor.parents(domain)):
        found = await resolver.txt(f"_dmarc.{one}")
        if found.unknown or any(text.replace(" ", "").lower().startswith("v=dmarc1") for text in found.values):
            return found
        if not number:
            first = found
    return first


async def _public(config: Config, fetcher: Fetcher | None, *, running: bool) -> list[Line]:
    url = links.public_url(config)
    host = urlsplit(url).hostname or ""
    # Our own address may lead into our own network; no other may.
    asked = fetcher or Fetcher([host])
    try:
        answer = await asked.get(f"{url}/livez", seconds=PATIENCE)
        lines = [doctor.public_url(url, answer.status, answer.text, running=running)]
        if lines[0].level is doctor.Level.OK:
            trial = links.trial(config)
            posted = await asked.post_form(trial, {"List-Unsubscribe": "One-Click"}, seconds=PATIENCE)
            lines.append(doctor.one_click(trial, posted.status, posted.text))
    finally:
        if fetcher is None:
            await asked.close()
    return lines


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()
