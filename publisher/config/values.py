"""What a single value must look like: each check returns the value to keep or raises WrongValueError."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from datetime import date, timedelta
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import idna
from pydantic import SecretStr

from publisher import addresses
from publisher.mail.pace import Rate, WarmUp
from publisher.slots import Schedule, parse_duration, zone_named

SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")
# C0, DEL and C1: in a header or a title they forge lines (catalogue D9); the second form lets lines and tabs through.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# BCP 47 without extensions: language, script, region, variants.
_LANGUAGE = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)\Z",
    re.IGNORECASE,
)
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f-\x9f<>\"\\^`{|}]")
URL_PLACEHOLDERS = ("year", "month", "day", "slug", "language", "name", "path")
"""What the `url` of a source may contain in braces."""


class WrongValueError(ValueError):
    """A value cannot be used; the text says what it must be, `hint` what was perhaps meant."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the known word most like `word`, or the empty string."""
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else ""


def line(value: str) -> str:
    """Accept text of one line without control characters."""
    if found := _CONTROL.search(value):
        raise WrongValueError(f"must be one line without control characters; it contains {_name(found[0])}")
    return value


def lines(value: str) -> str:
    """Accept text of any number of lines without other control characters."""
    if found := _CONTROL_BUT_LINES.search(value):
        raise WrongValueError(f"must not contain control characters; it contains {_name(found[0])}")
    return value


def _name(character: str) -> str:
    names = {"\r": "a carriage return", "\n": "a line break", "\t": "a tab", "\0": "NUL"}
    return names.get(character, f"U+{ord(character):04X}")


def slug(value: str) -> str:
    """Accept `foreign-policy`: at most 64 lower-case letters, digits and single hyphens."""
    if not SLUG.match(value) or len(value) > 64:
        raise WrongValueError(
            f"must be lower-case letters, digits and single hyphens, at most 64, not {value[:80]!r}",
            "for example 'foreign-policy'",
        )
    return value


def texts(value: object) -> str | dict[str, str]:
    """Accept one text for all languages or a table of language → text; languages come back in canonical case."""
    if isinstance(value, str):
        return line(value.strip(" "))
    if not isinstance(value, dict) or not value or not all(isinstance(text, str) for text in value.values()):
        raise WrongValueError('must be text in quotes, or one text per language: { en = "Politics", ru = "Политика" }')
    return {language(key): line(text.strip(" ")) for key, text in value.items()}


def language(value: str) -> str:
    """Accept a language tag of BCP 47 and return it in canonical case: `be`, `pt-BR`, `zh-Hans`, `be-tarask`."""
    match = _LANGUAGE.match(value)
    if not match:
        raise WrongValueError(f"must be a language tag such as 'en', 'ru' or 'pt-BR', not {value[:80]!r}")
    parts = [match["language"].lower()]
    if match["script"]:
        parts.append(match["script"].title())
    if match["region"]:
        parts.append(match["region"].upper())
    return "-".join(parts) + match["variants"].lower()


def language_or_none(value: str) -> str:
    """Accept a language tag or the empty string, which stands for the publication's default language."""
    return language(value) if value else value


def zone(value: str) -> str:
    """Accept the name of a known time zone; the empty string stands for the zone of the publication."""
    if value:
        zone_named(value)  # never falls back to UTC: issues would go out at a wrong hour (D13)
    return value


def interval(value: str) -> str:
    """Accept the time between two collections: `5m`, from ten seconds to a month."""
    if not timedelta(seconds=10) <= parse_duration(value) <= timedelta(days=31):
        raise WrongValueError(f"must be between '10s' and '31d', not {value[:80]!r}")
    return value


def duration(value: str) -> str:
    """Accept a length of time, `90s` to `1w`; the empty string passes."""
    if value:
        parse_duration(value)
    return value


def rate(value: str) -> str:
    """Accept mails per second, minute, hour or day, `600/m`; the empty string passes."""
    if value:
        Rate.parse(value)
    return value


def warm_up(value: str) -> str:
    """Accept mails on the first day, on the last, and how many days, `200 to 50000 in 30d`; the empty string passes."""
    if value:
        WarmUp.parse(value)
    return value


def spread(value: str) -> str:
    """Accept the time over which an issue goes out, up to a day; the empty string passes."""
    if value and parse_duration(value) > timedelta(days=1):
        raise WrongValueError(f"must be '24h' at most, not {value[:80]!r}: news of yesterday is none")
    return value


def keep_words(value: str) -> str:
    """Accept how long servers' words are kept, a day at least: an operator has to see them."""
    if parse_duration(value) < timedelta(days=1):
        raise WrongValueError(f"must be '1d' at least, not {value[:80]!r}: you are to see what servers say")
    return value


def keep_readers(value: str) -> str:
    """Accept how long deliveries name their readers, two weeks at least: so long refusals count against an address."""
    if parse_duration(value) < timedelta(days=14):
        raise WrongValueError(f"must be '14d' at least, not {value[:80]!r}: full mailboxes are judged by two weeks")
    return value


def time_of_day(value: str) -> str:
    """Accept `07:00`; the empty string passes."""
    if value:
        Schedule.parse(at=value, timezone="UTC")
    return value


def cron(value: str) -> str:
    """Accept the five fields of a crontab line; the empty string passes."""
    if value:
        Schedule.parse(cron=value, timezone="UTC")
    return value


def every(value: str) -> str:
    """Accept the time between two issues, `1m` to `366d`; the empty string passes."""
    if value:
        Schedule.parse(every=value, timezone="UTC")
    return value


def after(value: str) -> str:
    """Accept the time from the first article to its issue, `1m` to `1d`; the empty string passes."""
    if value:
        Schedule.parse(after=value, timezone="UTC")
    return value


def blackout(value: object) -> object:
    """Accept days `2027-01-01` and stretches of days `2026-12-24..2027-01-02`, as pairs of first and last day."""
    if not isinstance(value, list | tuple):
        raise WrongValueError('must be a list of days, such as ["2027-01-01", "2026-12-24..2026-12-26"]')
    return tuple(_stretch(entry) for entry in value)


def _stretch(entry: object) -> tuple[date, date]:
    if isinstance(entry, tuple) and len(entry) == 2:  # read before
        return entry
    first, dots, last = str(entry).partition("..")
    try:
        days = (date.fromisoformat(first), date.fromisoformat(last if dots else first))
    except ValueError:
        raise WrongValueError(
            f"must be a day such as 2027-01-01, or two with two dots between them, not {str(entry)!r}"
        ) from None
    if days[1] < days[0]:
        raise WrongValueError(f"ends before it begins: {entry!s}")
    return days


def day_of_month(value: object) -> object:
    """Accept 1–31 or `last`."""
    if value is None or value == "last" or (isinstance(value, int) and value is not True and 1 <= value <= 31):
        return value
    raise WrongValueError(f"must be a day of the month, 1 to 31, or 'last', not {value!r}")


def path(value: object) -> object:
    """Accept a path in the file system."""
    if isinstance(value, str):
        if not value:
            raise WrongValueError("must not be empty")
        line(value)
    return value


def secret(value: SecretStr) -> SecretStr:
    """Accept a password; a reference such as `${SMTP_PASSWORD}` would be sent as it stands (D10)."""
    text = value.get_secret_value()
    if re.fullmatch(r"\$\{\w+\}", text):
        raise WrongValueError(
            "is a reference to a variable, and variables are not replaced here", "set PUBLISHER_SMTP__PASSWORD instead"
        )
    if _CONTROL.search(text):
        raise WrongValueError("must be one line without control characters")
    return value


def colour(value: str) -> str:
    """Accept `#rrggbb` and return it in lower case."""
    if not _COLOUR.match(value):
        raise WrongValueError(f"must be a colour such as '#1d4ed8', not {value[:80]!r}")
    return value.lower()


def url(value: str) -> str:
    """Accept an absolute http(s) address without password, in ASCII; the empty string passes."""
    if not value:
        return value
    wrong = WrongValueError(f"must be an absolute address such as 'https://example.org/', not {value[:120]!r}")
    try:
        parts = urlsplit(value)
        host, port_given = parts.hostname, parts.port is not None or not parts.netloc.endswith(":")
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not host or not port_given or _UNSAFE_IN_URL.search(value):
        raise wrong
    if parts.username is not None or parts.password is not None:
        raise WrongValueError("must not contain a user name or password: it is shown to readers")
    if not value.isascii():
        raise WrongValueError(f"must be written in ASCII, not {value[:120]!r}", _ascii_host(host))
    if not _is_host(host):
        raise wrong
    return value


def url_pattern(value: str) -> str:
    """Accept the address of an article, absolute or from the root of the site, with `{year}` and other placeholders."""
    try:
        fields = list(string.Formatter().parse(value))
    except ValueError:
        raise WrongValueError(f"must have each brace closed, not {value[:120]!r}") from None
    for _, name, layout, conversion in fields:
        if name is not None and (name not in URL_PLACEHOLDERS or layout or conversion):
            known = ", ".join("{" + word + "}" for word in URL_PLACEHOLDERS)
            raise WrongValueError(f"must contain no other placeholders than {known}, not {{{name[:40]}}}")
    plain = value.format_map(dict.fromkeys(URL_PLACEHOLDERS, "1"))
    url(f"https://example.org{plain}" if plain.startswith("/") and not plain.startswith("//") else plain)
    return value


def address(value: str) -> str:
    """Accept a bare e-mail address `news@example.org` and return its domain in ASCII; the empty string passes."""
    if not value:
        return value
    line(value)
    parsed = addresses.parse(value)
    if parsed.needs_smtputf8:
        raise WrongValueError(f"must be written in ASCII before the @, not {value[:120]!r}: many servers take no other")
    return parsed.address


def hello_name(value: str) -> str:
    """Accept what EHLO may say (RFC 5321 §4.1.1.1): a host name or an address in brackets; the empty string passes."""
    inner = value[1:-1].removeprefix("IPv6:") if value.startswith("[") and value.endswith("]") else ""
    if value and not _is_name(value) and not (inner and _is_ip(inner)):
        raise WrongValueError(f"must be a host name such as 'mail.example.org', not {value[:120]!r}")
    return value


def host(value: str) -> str:
    """Accept a host name or IP address without port or scheme; the empty string passes."""
    if value and not _is_host(value):
        hint = "the port is a key of its own" if re.search(r":\d+\Z", value) else ""
        raise WrongValueError(f"must be a host name such as 'smtp.example.org', not {value[:120]!r}", hint)
    return value


def domain(value: str) -> str:
    """Accept the name of a mail domain in ASCII and return it in lower case; the empty string passes."""
    if value and (not _is_name(value) or "." not in value or value.rpartition(".")[2].isdigit()):
        raise WrongValueError(f"must be a domain such as 'example.org', not {value[:120]!r}", _ascii_host(value))
    return value.lower()


def selector(value: str) -> str:
    """Accept a DKIM selector (RFC 6376 §3.1): labels of letters, digits and hyphens; the empty string passes."""
    if value and not (_is_name(value) and re.fullmatch(r"[A-Za-z0-9.-]+", value)):
        raise WrongValueError(f"must be letters, digits and hyphens, such as 'p202611', not {value[:80]!r}")
    return value.lower()


def listen(value: str) -> str:
    """Accept `host:port`, IPv6 hosts in brackets, port 0–65535 (0: any free one)."""
    split_listen(value)
    return value


def network(value: str) -> str:
    """Accept an IP address or a network of them, `10.0.0.0/8`."""
    try:
        ip_network(value)
    except ValueError:
        raise WrongValueError(f"must be an IP address or a network such as '10.0.0.0/8', not {value[:80]!r}") from None
    return value


def database_url(value: str) -> str:
    """Accept the URL of a PostgreSQL database; the empty string passes."""
    if value and not re.fullmatch(r"postgresql://[^\s/]*/[^\s/?]+(\?\S*)?", value):
        # The value may hold a password, so it is not repeated.
        raise WrongValueError("must be empty for SQLite, or the URL of a PostgreSQL: 'postgresql://user@host/name'")
    return value


def split_listen(value: str) -> tuple[str, int]:
    """Return host (IPv6 without brackets) and port of `host:port`; raises WrongValueError."""
    name, colon, port = value.rpartition(":")
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    bracketed = bare != name
    if not (colon and re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535 and _is_host(bare)) or (
        bracketed != (":" in bare)
    ):
        raise WrongValueError(f"must be an address and a port such as '127.0.0.1:8000', not {value[:80]!r}")
    return bare, int(port)


def is_loopback(name: str) -> bool:
    """Whether `name` (host or IP address) is this machine and nobody else's."""
    return ip_address(name).is_loopback if _is_ip(name) else name == "localhost" or name.endswith(".localhost")


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 253 and all(_HOST_LABEL.match(label) for label in name.split("."))


def _is_host(name: str) -> bool:
    return _is_ip(name) or (_is_name(name) and not name.rsplit(".", 1)[-1].isdigit())


def _ascii_host(name: str) -> str:
    try:
        return f"the host in ASCII is '{idna.encode(name, uts46=True).decode('ascii')}'" if not name.isascii() else ""
    except idna.IDNAError:
        return ""
