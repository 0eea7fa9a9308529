"""What is allowed but probably not meant, and what is still missing before mail can go out."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from publisher import colours
from publisher.config import values
from publisher.config.models import Config
from publisher.config.models.feeds import Feed
from publisher.config.models.newsletters import Newsletter
from publisher.config.models.publication import Category
from publisher.config.models.sending import Server
from publisher.config.models.table import Texts
from publisher.config.places import Finding
from publisher.errors import Problem
from publisher.toml_lines import KeyPath

READABLE = 4.5
"""Contrast that small text needs against its ground: WCAG 2, success criterion 1.4.3."""
_SAMPLES = {"password", "secret", "changeme", "change-me", "example", "xxx", "123456"}


def check(config: Config) -> tuple[Problem, ...]:
    """Return warnings: nothing here keeps the service from running."""
    rules = (_sources, _languages, _approvals, _ages, _colours, _listeners, _links, _signatures, _password)
    return config.places.problems(finding for rule in rules for finding in rule(config))


def sending_problems(config: Config) -> tuple[Problem, ...]:
    """Return why mail cannot be sent with this configuration; commands that send refuse to start then."""
    return config.places.problems(_sending(config))


def _sending(config: Config) -> Iterator[Finding]:
    smtp = config.smtp
    if not smtp.host and not smtp.embedded:
        yield Finding(
            ("smtp", "host"), "is missing: nobody takes our mail", "to try things out, set smtp.embedded = true instead"
        )
    if smtp.host and smtp.embedded:
        yield Finding(("smtp", "embedded"), "excludes smtp.host: mail goes to the embedded inbox or to the world")
    if smtp.embedded:
        return
    yield from _no_password(("smtp",), smtp)
    for index, transport in enumerate(config.transports):
        yield from _no_password(("transports", index), transport)


def _no_password(at: KeyPath, server: Server) -> Iterator[Finding]:
    if server.username and not server.password.get_secret_value():
        variable = "PUBLISHER_SMTP__PASSWORD or " if at == ("smtp",) else ""
        yield Finding(
            (*at, "password"),
            "is missing, and username is set",
            f"{variable}password_file keeps it out of this file",
        )


def _sources(config: Config) -> Iterator[Finding]:
    if not config.sources:
        yield Finding((), "there are no [[sources]]: no articles will be collected")
    for index, source in enumerate(config.sources):
        if not source.path.exists():
            yield Finding(("sources", index, "path"), f"there is no {source.path} yet: nothing to collect")


def _languages(config: Config) -> Iterator[Finding]:
    known = set(config.site.languages)
    for index, source in enumerate(config.sources):
        if source.language and source.language not in known:
            yield Finding(("sources", index, "language"), f"'{source.language}' is not one of site.languages")
    for path, texts in _texts(config):
        for language in texts if isinstance(texts, dict) else ():
            if language not in known:
                hint = values.nearest(language, known)
                yield Finding(path, f"has a text in '{language}', which is not one of site.languages", hint)


def _texts(config: Config) -> Iterator[tuple[KeyPath, Texts]]:
    yield ("site", "title"), config.site.title
    yield ("site", "description"), config.site.description
    tables: list[tuple[KeyPath, Category | Feed | Newsletter]] = []
    tables += [(("categories", index), table) for index, table in enumerate(config.categories)]
    tables += [(("feeds", index), table) for index, table in enumerate(config.feeds)]
    tables += [(("newsletters", index), table) for index, table in enumerate(config.newsletters)]
    for at, table in tables:
        yield (*at, "title"), table.title
        yield (*at, "description"), table.description
        if isinstance(table, Newsletter):
            yield (*at, "subject"), table.subject
            for name, frequency in table.frequencies.items():
                yield (*at, "frequencies", name, "title"), frequency.title


def _approvals(config: Config) -> Iterator[Finding]:
    for index, newsletter in enumerate(config.newsletters):
        if newsletter.approval and not newsletter.editors:
            yield Finding(
                ("newsletters", index, "approval"),
                "makes each issue wait, and there are no editors to be told",
                "name them in editors, or look at `publisher issues list --state held`",
            )


def _ages(config: Config) -> Iterator[Finding]:
    for index, newsletter in enumerate(config.newsletters):
        limit = newsletter.age_limit
        periods = {name: one.schedule(config.site.timezone).period for name, one in newsletter.frequencies.items()}
        short = [name for name, period in periods.items() if limit is not None and limit < period]
        if short:
            yield Finding(
                ("newsletters", index, "max_age"),
                f"is shorter than the time between two issues of '{short[0]}': some articles would never be mailed",
                "choose a longer one, or none",
            )


def _colours(config: Config) -> Iterator[Finding]:
    for index, category in enumerate(config.categories):
        contrast = colours.contrast(category.colour, "#ffffff")
        if contrast < READABLE:
            message = f"{category.colour} has a contrast of {contrast:.1f} to 1 on white; text needs {READABLE}"
            yield Finding(("categories", index, "colour"), message, "choose a darker one")


def _listeners(config: Config) -> Iterator[Finding]:
    host, _ = values.split_listen(config.web.admin_listen)
    if not values.is_loopback(host):
        yield Finding(("web", "admin_listen"), f"shows admin pages and readers' mail to everybody who reaches {host}")


def _links(config: Config) -> Iterator[Finding]:
    if not config.smtp.host:
        return
    path = ("web", "public_url")
    if not config.web.public_url:
        yield Finding(path, f"is empty, so links in mail point to http://{config.web.listen}")
    elif urlsplit(config.web.public_url).scheme != "https":
        # RFC 8058 §3.1: one-click unsubscribing is by HTTPS alone.
        yield Finding(path, "is not https, so mail programs will not offer to unsubscribe with one click")


def _signatures(config: Config) -> Iterator[Finding]:
    if not config.smtp.host:
        return
    if config.dkim.key_file is None:
        yield Finding(
            ("dkim", "key_file"),
            "is not set, so mail goes out without a DKIM signature, and large providers refuse or hide such mail",
            "'publisher dkim-key new' makes a key; let it be only if your relay signs",
        )
    for index, newsletter in enumerate(config.newsletters):
        domain = newsletter.from_address.rpartition("@")[2].lower()
        for path, other, what in (
            (("dkim", "domain"), config.dkim.domain, "signatures"),
            (("smtp", "bounce_domain"), config.smtp.bounce_domain, "envelope senders"),
        ):
            if other and not _aligned(other, domain):
                at = ("newsletters", index, "from_address")
                yield Finding(
                    at, f"is not of {'.'.join(path)} ({other}) or below it, so its {what} prove nothing to DMARC"
                )


def _aligned(one: str, other: str) -> bool:
    """Whether the domains are the same or one lies in the other: what relaxed alignment asks (RFC 7489 §3.1)."""
    return one == other or one.endswith("." + other) or other.endswith("." + one)


def _password(config: Config) -> Iterator[Finding]:
    tables: list[tuple[KeyPath, Server]] = [(("smtp",), config.smtp)]
    tables += [(("transports", index), transport) for index, transport in enumerate(config.transports)]
    for at, server in tables:
        path = (*at, "password")
        if server.password.get_secret_value().lower() in _SAMPLES:
            yield Finding(path, "looks like a sample, not like a password")
        file, line = config.places.lines.get(path, ("", None))
        if line is not None and Path(file).stat().st_mode & stat.S_IROTH:
            yield Finding(
                path,
                "stands in a file that everybody on this machine can read",
                "keep it in password_file" if at != ("smtp",) else "use PUBLISHER_SMTP__PASSWORD or smtp.password_file",
            )
