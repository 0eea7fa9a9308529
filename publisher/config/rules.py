"""The rules between tables, judged on the values as the files state them, so that one wrong value hides no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from publisher.config import values
from publisher.config.models.sending import DEFAULT_TRANSPORT
from publisher.config.places import Finding
from publisher.mail.pace import PROVIDERS
from publisher.model import UNCATEGORISED
from publisher.toml_lines import KeyPath

ALL = "all"
"""Slug of the feed of everything."""
BUILT_IN_PREFIXES = ("language-", "author-", "newsletter-")
"""How the slugs of the other built-in feeds begin; those of categories are the categories' own."""
MANUAL = "manual"
"""Name of the frequency of issues dispatched by hand."""

Raw = Mapping[str, Any]


def findings(raw: Raw) -> Iterator[Finding]:
    """Yield what contradicts what. `raw` may hold anything: values of a wrong type are somebody else's finding."""
    yield from _reserved(raw)
    yield from _repeated(raw)
    yield from _languages(raw)
    yield from _references(raw)
    yield from _defaults(raw)
    yield from _database(raw)
    yield from _mail(raw)
    yield from _transports(raw)
    yield from _providers(raw)
    yield from _signatures(raw)
    yield from _listeners(raw)
    yield from _folders(raw)


def _reserved(raw: Raw) -> Iterator[Finding]:
    for key in ("categories", "feeds"):
        for at, table in _tables(raw, key):
            slug = _text(table, "slug")
            if key == "categories" and slug == UNCATEGORISED:
                yield Finding((*at, "slug"), f"'{slug}' is the built-in category of articles that name none")
            if slug == ALL or slug.startswith(BUILT_IN_PREFIXES):
                yield Finding((*at, "slug"), f"'{slug}' is the name of a built-in feed; choose another")
    for at, table in _tables(raw, "newsletters"):
        frequencies = _table(table, "frequencies")
        for name in frequencies:
            for index, old in _texts(_table(frequencies, name), "former"):
                if old in frequencies:
                    path = (*at, "frequencies", name, "former", index)
                    yield Finding(path, f"'{old}' is the name of another frequency of the newsletter")
        if MANUAL in frequencies:
            path = (*at, "frequencies", MANUAL)
            yield Finding(path, f"'{MANUAL}' is the name of issues dispatched by hand; choose another")


def _repeated(raw: Raw) -> Iterator[Finding]:
    for keys in (("categories", "feeds"), ("newsletters",), ("sources",), ("transports",), ("providers",)):
        taken: dict[str, str] = {}
        # Names in use first: a former name must give way to them, wherever they stand.
        for former in (False, True):
            for key in keys:
                for at, table in _tables(raw, key):
                    yield from _taken(at, table, taken, former=former)


def _taken(at: KeyPath, table: Raw, taken: dict[str, str], *, former: bool) -> Iterator[Finding]:
    label = "slug" if at[0] in ("categories", "feeds", "newsletters") else "name"
    kind = "category" if at[0] == "categories" else str(at[0]).removesuffix("s")
    if former:
        names = [((*at, "former", index), name) for index, name in _texts(table, "former")]
        use = f"a former name of the {kind} '{_text(table, label)}'"
    else:
        names = [((*at, label), _text(table, label))]
        use = f"the {label} of another {kind}"
    for path, name in names:
        if name and name in taken:
            yield Finding(path, f"'{name}' is already {taken[name]}")
        elif name:
            taken[name] = use


def _languages(raw: Raw) -> Iterator[Finding]:
    site = _table(raw, "site")
    known = _site_languages(raw)
    default = _text(site, "default_language")
    if default and known and _canonical(default) not in known:
        yield _unknown(("site", "default_language"), default, known, "one of site.languages")


def _references(raw: Raw) -> Iterator[Finding]:
    categories = [*_names(raw, "categories", "slug"), UNCATEGORISED]
    renamed = {
        old: _text(table, "slug") for _, table in _tables(raw, "categories") for _, old in _texts(table, "former")
    }
    sources = _names(raw, "sources", "name")
    languages = _site_languages(raw)
    for key in ("feeds", "newsletters"):
        for at, table in _tables(raw, key):
            for index, name in _texts(table, "categories"):
                if name not in categories:
                    yield _unknown((*at, "categories", index), name, categories, "the slug of a category", renamed)
            for index, name in _texts(table, "sources"):
                if name not in sources:
                    yield _unknown((*at, "sources", index), name, sources, "the name of a source")
            for index, name in _texts(table, "languages"):
                if languages and _canonical(name) not in languages:
                    yield _unknown((*at, "languages", index), name, languages, "one of site.languages")
    for at, table in _tables(raw, "sources"):
        name = _text(table, "category")
        if name and name not in categories:
            yield _unknown((*at, "category"), name, categories, "the slug of a category", renamed)


def _defaults(raw: Raw) -> Iterator[Finding]:
    everything = _names(raw, "categories", "slug")
    for at, table in _tables(raw, "newsletters"):
        taken = [name for _, name in _texts(table, "categories")] or everything
        for index, name in _texts(table, "default_categories"):
            if name not in taken:
                yield _unknown((*at, "default_categories", index), name, taken, "a category of the newsletter")


def _unknown(
    path: KeyPath, name: str, known: list[str], what: str, renamed: Mapping[str, str] | None = None
) -> Finding:
    new = (renamed or {}).get(name)
    hint = f"it is called '{new}' now" if new else values.nearest(name, known)
    if not hint and known:
        hint = f"known: {', '.join(known)}"
    return Finding(path, f"must be {what}, and there is no '{name}'", hint)


def _mail(raw: Raw) -> Iterator[Finding]:
    smtp = _table(raw, "smtp")
    embedded = smtp.get("embedded") is True
    if (
        not embedded
        and isinstance(raw.get("site"), Mapping)
        and not _text(_table(raw, "site"), "postal_address").strip()
    ):
        yield Finding(
            ("site", "postal_address"),
            "is missing: every mail must show the publication's postal address",
            "smtp.embedded = true, for trying out, does without",
        )
    yield from _passwords(("smtp",), smtp)


def _passwords(at: KeyPath, server: Raw) -> Iterator[Finding]:
    has_password = bool(_text(server, "password") or _text(server, "password_file"))
    host = _text(server, "host")
    if server.get("security") == "plain" and has_password and host and not values.is_loopback(host):
        yield Finding(
            (*at, "security"),
            f"must not be 'plain' with a password: it would cross the network to {host} unprotected",
            "use 'starttls' or 'tls'",
        )
    yield from _twice(at, server, "password")


def _twice(at: KeyPath, table: Raw, key: str) -> Iterator[Finding]:
    if _text(table, key) and _text(table, f"{key}_file"):
        yield Finding((*at, f"{key}_file"), f"excludes {key}: keep one of the two")


def _database(raw: Raw) -> Iterator[Finding]:
    yield from _twice((), raw, "database_url")


def _transports(raw: Raw) -> Iterator[Finding]:
    for at, table in _tables(raw, "transports"):
        yield from _passwords(at, table)
        if _text(table, "name") == DEFAULT_TRANSPORT:
            message = f"'{DEFAULT_TRANSPORT}' is the name of the table [{DEFAULT_TRANSPORT}]; choose another"
            yield Finding((*at, "name"), message)
    known = [DEFAULT_TRANSPORT, *_names(raw, "transports", "name")]
    for at, table in _tables(raw, "newsletters"):
        name = _text(table, "transport")
        if name and name not in known:
            yield _unknown((*at, "transport"), name, known, "the name of one of [[transports]]")


def _providers(raw: Raw) -> Iterator[Finding]:
    taken: dict[str, str] = {}
    built_in = {provider.name for provider in PROVIDERS}
    for at, table in _tables(raw, "providers"):
        name = _text(table, "name")
        if name and name not in built_in and not table.get("domains"):
            known = f"known without: {', '.join(sorted(built_in))}"
            yield Finding((*at, "domains"), f"is missing: the program knows no provider '{name}'", known)
        for index, domain in _texts(table, "domains"):
            if domain.lower() in taken:
                message = f"'{domain}' is already a domain of the provider '{taken[domain.lower()]}'"
                yield Finding((*at, "domains", index), message)
            taken.setdefault(domain.lower(), name)


def _signatures(raw: Raw) -> Iterator[Finding]:
    dkim = _table(raw, "dkim")
    taken: dict[str, str] = {}
    for prefix in ("", "former_", "ed25519_"):
        name, file = f"{prefix}selector", f"{prefix}key_file"
        selector = _text(dkim, name).lower()
        if bool(selector) != bool(_text(dkim, file)):
            given, missing = (name, file) if selector else (file, name)
            yield Finding(("dkim", given), f"needs dkim.{missing} beside it")
        if selector in taken:
            yield Finding(("dkim", name), f"'{selector}' is already dkim.{taken[selector]}; each key has its own")
        elif selector:
            taken[selector] = name
        if prefix and selector and not _text(dkim, "selector"):
            yield Finding(("dkim", name), "needs dkim.selector: no mail is signed with this key alone")


def _listeners(raw: Raw) -> Iterator[Finding]:
    web = _table(raw, "web")
    listen, admin = _text(web, "listen"), _text(web, "admin_listen")
    if listen and listen == admin and not listen.endswith(":0"):
        yield Finding(("web", "admin_listen"), "must differ from web.listen: admin pages are not for the public")


def _folders(raw: Raw) -> Iterator[Finding]:
    owners: list[tuple[KeyPath, Raw, str]] = [((), raw, "templates"), (("web",), _table(raw, "web"), "media")]
    owners += [(at, table, "templates") for at, table in _tables(raw, "newsletters")]
    for at, table, key in owners:
        folder = _text(table, key)
        if folder and not Path(folder).is_dir():
            yield Finding((*at, key), f"there is no folder {folder}")
    data = _text(raw, "data_dir")
    if data and Path(data).exists() and not Path(data).is_dir():
        yield Finding(("data_dir",), f"{data} is not a folder")


def _site_languages(raw: Raw) -> list[str]:
    site = _table(raw, "site")
    return [_canonical(name) for _, name in _texts(site, "languages")] if "languages" in site else ["en"]


def _canonical(name: str) -> str:
    try:
        return values.language(name)
    except values.WrongValueError:
        return name


def _names(raw: Raw, key: str, label: str) -> list[str]:
    return [name for _, table in _tables(raw, key) if (name := _text(table, label))]


def _tables(raw: Raw, key: str) -> Iterator[tuple[KeyPath, Raw]]:
    found = raw.get(key)
    for index, table in enumerate(found if isinstance(found, list) else []):
        if isinstance(table, Mapping):
            yield (key, index), table


def _table(raw: Raw, key: str) -> Raw:
    found = raw.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(table: Raw, key: str) -> str:
    found = table.get(key)
    return found if isinstance(found, str) else ""


def _texts(table: Raw, key: str) -> Iterator[tuple[int, str]]:
    found = table.get(key)
    for index, text in enumerate(found if isinstance(found, list) else []):
        if isinstance(text, str):
            yield index, text
