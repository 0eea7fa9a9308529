"""What is well, doubtful or wrong with an installation, each with its remedy: judgements over what was found."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from publisher.errors import Problem
from publisher.slots import clock_problem

LITTLE_DISK = 200 * 2**20
"""Bytes below which a disk is a problem: SQLite's log, feeds and archives of a busy day."""
SOME_DISK = 2**30
"""Bytes below which it is worth a warning."""
SPF_LOOKUPS = 10
"""Terms of a policy that ask the DNS again, at most (RFC 7208 §4.6.4)."""
_NAMESPACES = {"atom": "http://www.w3.org/2005/Atom"}
_ASKING = ("include:", "a", "mx", "ptr", "exists:", "redirect=")


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at."""

    area: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The data directory as it was found."""

    path: str
    exists: bool
    writable: bool
    holder: int | None
    """The process that holds its lock."""
    free: int
    """Bytes left on its disk."""


@dataclass(frozen=True, slots=True)
class Records:
    """What the DNS said of a name: its records, none when there are none, or why nobody knows."""

    name: str
    values: tuple[str, ...] = ()
    unknown: str = ""


def configuration(problems: Iterable[Problem], warnings: Iterable[Problem]) -> Iterator[Line]:
    """Judge the configuration by what its loading and its checks said."""
    found = False
    for level, said in ((Level.PROBLEM, problems), (Level.WARNING, warnings)):
        for problem in said:
            found = True
            words = str(replace(problem, hint=""))
            yield Line("configuration", level, words, problem.hint or "correct it there")
    if not found:
        yield Line("configuration", Level.OK, "no problems, no warnings")


def directory(found: Directory) -> Iterator[Line]:
    """Judge the data directory, its lock and its disk."""
    if not found.exists:
        yield Line("data directory", Level.OK, f"{found.path} does not exist yet; the first command makes it")
    elif not found.writable:
        yield Line(
            "data directory",
            Level.PROBLEM,
            f"{found.path} cannot be written by this user",
            "run the doctor as the user of the service, or give that user the directory (chown)",
        )
    else:
        yield Line("data directory", Level.OK, f"{found.path} can be written")
    holder = f"held by process {found.holder}: the service runs" if found.holder else "free: no service runs"
    yield Line("lock", Level.OK, holder)
    free = f"{found.free / 2**20:,.0f} MiB free"
    if found.free < LITTLE_DISK:
        yield Line("disk", Level.PROBLEM, free, "make room now: sending stops when the disk is full")
    elif found.free < SOME_DISK:
        yield Line("disk", Level.WARNING, free, "make room soon")
    else:
        yield Line("disk", Level.OK, free)


def database(where: str, problem: str, *, exists: bool) -> Line:
    """Judge the database by what opening it said."""
    if problem:
        words, _, remedy = problem.partition("; ")
        return Line("database", Level.PROBLEM, words, remedy or "look at database_url")
    if not exists:
        return Line("database", Level.OK, "there is none yet; the first command makes it")
    return Line("database", Level.OK, f"{where} has the schema of this program")


def clock(now: datetime, last_seen: datetime | None, zones: str) -> Iterator[Line]:
    """Judge the clock, and the release of the time zone data (`2026c`, "" when it is not known)."""
    problem = clock_problem(last_seen, now)
    words, _, remedy = problem.partition("; ")
    if problem:
        yield Line("clock", Level.PROBLEM, words, remedy)
    else:
        yield Line("clock", Level.OK, f"{now:%Y-%m-%d %H:%M} UTC")
    if not zones[:4].isdigit():
        yield Line("time zones", Level.WARNING, "their release is not known", "install the package tzdata")
    elif int(zones[:4]) < now.year - 1:
        update = "update tzdata: governments change their clocks every year"
        yield Line("time zones", Level.WARNING, f"the data is of {zones}", update)
    else:
        yield Line("time zones", Level.OK, f"the data is of {zones}")


def templates(problem: str) -> Line:
    """Judge the templates by what compiling and trying them said."""
    if problem:
        return Line("templates", Level.PROBLEM, problem, "correct the template; `publisher preview` shows the result")
    return Line("templates", Level.OK, "all compile, and make mails of made-up articles")


def feed_problem(name: str, data: bytes) -> str:
    """Return what keeps a feed file from being one, "" when nothing does."""
    try:
        return _json_problem(data) if name.endswith(".json") else _xml_problem(data)
    except (ValueError, SyntaxError) as error:
        return f"cannot be read: {error}"


def feeds(problems: Sequence[tuple[str, str]], number: int) -> Iterator[Line]:
    """Judge the written feed files: `problems` are (file, what), `number` is how many there are."""
    for file, problem in problems:
        yield Line("feeds", Level.PROBLEM, f"{file} {problem}", "`publisher feeds` writes it anew")
    if not problems:
        yield Line("feeds", Level.OK, f"{number} files are valid" if number else "none is written yet")


def smtp(name: str, where: str, problem: str, *, encrypted: bool, logged_in: bool) -> Line:
    """Judge a transport by a connection that greeted, secured and logged in, and sent nothing."""
    if problem:
        return Line(f"smtp {name}", Level.PROBLEM, f"{where}: {problem}", _smtp_remedy(problem))
    done = ["it greets", "TLS with a valid certificate" if encrypted else "no TLS"]
    done += ["the login works"] if logged_in else []
    return Line(f"smtp {name}", Level.OK, f"{where}: {', '.join(done)}")


def spf(found: Records) -> Line:
    """Judge the policy of an envelope sender's domain (RFC 7208)."""
    area = f"SPF {found.name}"
    if found.unknown:
        return _unknown(area, found)
    policies = [text for text in found.values if text.lower().split(" ")[0] == "v=spf1"]
    if len(policies) != 1:
        number = "no policy" if not policies else f"{len(policies)} policies, and so none counts (RFC 7208 §3.2)"
        return Line(
            area,
            Level.PROBLEM,
            number,
            "publish one TXT record: v=spf1, what your mail server's maker names, then -all",
        )
    terms = [term.lower().lstrip("+?~-") for term in policies[0].split()[1:]]
    asking = sum(any(_is_term(term, one) for one in _ASKING) for term in terms)
    words = policies[0].lower().split()
    if asking > SPF_LOOKUPS:
        return Line(area, Level.PROBLEM, f"asks the DNS {asking} times, and {SPF_LOOKUPS} are allowed", "name networks")
    if "+all" in words or "all" in words:
        return Line(area, Level.PROBLEM, "lets everybody send in your name (+all)", "end it with -all or ~all")
    if not any(term == "all" or term.startswith("redirect=") for term in terms):
        return Line(area, Level.WARNING, "says nothing of other servers", "end it with -all or ~all")
    return Line(area, Level.OK, policies[0])


def dkim(found: Records, expected: str) -> Line:
    """Judge a key's record, which must hold the public half of the key that signs; `expected` is ours (RFC 6376)."""
    area = f"DKIM {found.name}"
    if found.unknown:
        return _unknown(area, found)
    publish = f"publish this TXT record: {expected}"
    if len(found.values) != 1:
        said = f"{len(found.values)} records, and there may be one" if found.values else "no record"
        return Line(area, Level.PROBLEM, said, publish)
    theirs, ours = tags(found.values[0]), tags(expected)
    if "p" not in theirs:
        return Line(area, Level.PROBLEM, "the record holds no key (p=)", publish)
    if not theirs["p"]:
        return Line(area, Level.PROBLEM, "the key is revoked (p= is empty)", "make another: `publisher dkim-key new`")
    if _key(theirs["p"]) != _key(ours["p"]) or theirs.get("k", "rsa") != ours.get("k", "rsa"):
        return Line(area, Level.PROBLEM, "holds another key than the one that signs: every signature fails", publish)
    if "y" in theirs.get("t", "").split(":"):
        return Line(area, Level.WARNING, "says that it is on trial (t=y)", "take t=y out: signatures may be ignored")
    return Line(area, Level.OK, "holds the key that signs")


def dmarc(domain: str, found: Records) -> Line:
    """Judge the policy that holds for a From domain (RFC 7489); `found` is the nearest one, of it or of a parent."""
    area = f"DMARC {domain}"
    if found.unknown:
        return _unknown(area, found)
    policies = [text for text in found.values if text.replace(" ", "").lower().startswith("v=dmarc1")]
    if len(policies) != 1:
        number = "no policy" if not policies else f"{len(policies)} policies, and so none counts"
        wanted = f"publish a TXT record at _dmarc.{domain}: v=DMARC1; p=none; rua=mailto:YOU@{domain}"
        return Line(area, Level.PROBLEM, number, wanted)
    policy = tags(policies[0]).get("p", "").lower()
    if policy not in ("none", "quarantine", "reject"):
        return Line(
            area, Level.PROBLEM, "its p= says neither none, quarantine nor reject", "write p=none to begin with"
        )
    return Line(area, Level.OK, f"p={policy}, at {found.name}")


def aligned(from_domain: str, signing: str, envelope: str) -> Line:
    """Judge whether what proves a mail to be ours speaks for its From domain, as DMARC asks (RFC 7489 §3.1)."""
    area = f"alignment {from_domain}"
    ways = [word for word, domain in (("DKIM", signing), ("SPF", envelope)) if domain and _related(domain, from_domain)]
    if ways:
        return Line(area, Level.OK, f"by {' and '.join(ways)}")
    known = ", ".join(filter(None, (signing, envelope)))
    return Line(
        area,
        Level.PROBLEM,
        f"neither signature nor envelope is of this domain, but of {known}",
        "set dkim.domain to it",
    )


def mx(found: Records) -> Line:
    """Judge whether bounces can come back to a domain (RFC 5321 §5.1, RFC 7505)."""
    area = f"MX {found.name}"
    if found.unknown:
        return _unknown(area, found)
    if found.values == (".",):
        return Line(
            area, Level.PROBLEM, "the domain says that it takes no mail", "bounces are lost: publish an MX record"
        )
    if not found.values:
        return Line(
            area, Level.PROBLEM, "no MX record: bounces have nowhere to go", "publish one that names a mail server"
        )
    return Line(area, Level.OK, ", ".join(found.values))


def public_url(url: str, status: int | None, text: str, *, running: bool) -> Line:
    """Judge the answer to GET /livez at the public address: links in mail lead there."""
    if status == 200 and text == "ok":
        return Line("public address", Level.OK, f"{url} answers")
    said = f"{url}/livez: {f'{status} {text}' if status else text}"
    if not running:
        return Line("public address", Level.WARNING, said, "start the service, then ask again")
    remedy = "look at web.public_url, the name in the DNS and the web server in front (docs/deploy.md)"
    return Line("public address", Level.PROBLEM, said, remedy)


def one_click(url: str, status: int | None, text: str) -> Line:
    """Judge the answer to a one-click post that means nobody, made as mail providers make theirs (RFC 8058)."""
    if (status, text) != (200, "ok"):
        said = f"POST {url}: {f'{status} {text}' if status else text}"
        return Line("one-click", Level.PROBLEM, said, "let the web server in front pass POST to /u/ as it comes")
    if not url.startswith("https://"):
        return Line("one-click", Level.WARNING, f"{url} is not https", "RFC 8058 asks for https: add TLS in front")
    return Line("one-click", Level.OK, f"posts arrive at {url}")


def report(lines: Sequence[Line]) -> dict[str, Any]:
    """Return all lines as a JSON value; `ok` says that none is a problem."""
    return {
        "ok": not any(line.level is Level.PROBLEM for line in lines),
        "lines": [asdict(line) | {"remedy": line.remedy or None} for line in lines],
    }


def tags(record: str) -> dict[str, str]:
    """Return the `name=value` pairs of a record, blanks taken away (RFC 6376 §3.2)."""
    pairs = (part.partition("=") for part in record.split(";") if "=" in part)
    return {name.strip().lower(): "".join(value.split()) for name, _, value in pairs}


def parents(domain: str) -> list[str]:
    """Return the domain and those above it that have two labels or more, nearest first."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]


def _unknown(area: str, found: Records) -> Line:
    return Line(area, Level.WARNING, f"not known: {found.unknown}", "see that this machine can ask the DNS; ask again")


def _is_term(term: str, wanted: str) -> bool:
    if wanted[-1] in ":=":
        return term.startswith(wanted)
    return term == wanted or term.startswith((f"{wanted}:", f"{wanted}/"))


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _related(one: str, other: str) -> bool:
    """Whether a relaxed comparison may take them for one organisation's: equal, or one above the other."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _smtp_remedy(problem: str) -> str:
    if problem.startswith("auth:"):
        return "look at username and password of this transport"
    if problem.startswith("tls:"):
        return "look at security and port of this transport (587: starttls, 465: tls), and at the server's certificate"
    return "look at host and port of this transport, and whether a firewall is between"


def _json_problem(data: bytes) -> str:
    value = json.loads(data)
    if not isinstance(value, dict) or not str(value.get("version", "")).startswith("https://jsonfeed.org/version/"):
        return "is no JSON Feed"
    items = value.get("items")
    if not value.get("title") or not isinstance(items, list):
        return "lacks its title or its items"
    return "" if all(isinstance(item, dict) and item.get("id") for item in items) else "has an item without id"


def _xml_problem(data: bytes) -> str:
    from lxml import etree  # here: the service takes its limits from this module, and is not to wait for a parser

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    root = etree.fromstring(data, parser)
    if root.tag == "opml":
        return "" if root.find("body/outline") is not None else "lists nothing"
    if root.tag == "rss":
        lacking = [name for name in ("title", "link", "description") if root.find(f"channel/{name}") is None]
        entries = root.findall("channel/item/guid")
        whole = len(entries) == len(root.findall("channel/item"))
    elif root.tag == f"{{{_NAMESPACES['atom']}}}feed":
        lacking = [name for name in ("id", "title", "updated") if root.find(f"atom:{name}", _NAMESPACES) is None]
        entries = root.findall("atom:entry/atom:id", _NAMESPACES)
        whole = len(entries) == len(root.findall("atom:entry", _NAMESPACES))
    else:
        return f"is neither RSS, Atom nor OPML: <{root.tag}>"
    if lacking:
        return f"lacks {', '.join(lacking)}"
    return "" if whole else "has an entry without an id"
