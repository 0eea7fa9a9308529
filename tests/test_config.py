"""Loading the configuration: every problem at once, each at its line, and nothing accepted that would fail later."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tomllib
import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from publisher import colours, slots
from publisher.config import (
    Config,
    check,
    find,
    in_language,
    load,
    rules,
    sending_problems,
    sentences,
    split_listen,
    values,
)
from publisher.config.models.feeds import Feed
from publisher.config.models.newsletters import Frequency, Newsletter, SignUp
from publisher.config.models.publication import Category, Site
from publisher.config.models.sending import Dkim, Provider, Server, Smtp, Transport
from publisher.config.models.service import Ingest, Keeping, Web
from publisher.config.models.sources import FolderSource, PageLabels, PagesSource
from publisher.config.schema import schema
from publisher.config.shown import shown
from publisher.errors import ConfigurationError, Problem
from publisher.files import packaged
from publisher.mail.pace import Limit, Rate, WarmUp
from publisher.slots import Schedule

MINIMAL = """
[site]
title = "Example"
url = "https://example.org/"
languages = ["en", "ru"]
[smtp]
embedded = true
"""
NEWSLETTER = """
[[newsletters]]
slug = "weekly-digest"
title = "The week"
from_address = "digest@example.org"
[newsletters.frequencies.weekly]
at = "07:00"
days = ["mon"]
"""


def write(folder: Path, text: str, name: str = "publisher.toml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    return load(write(folder, text), environ or {})


def problems(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems, written without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, text, environ)
    assert caught.value.exit_code == 3
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


# --- all problems at once ---------------------------------------------------------------------------------------------


def test_all_problems_come_at_once_each_with_file_line_key_and_a_sentence(tmp_path: Path) -> None:
    """D1: what pydantic finds, what contradicts something else and what the environment adds, in one go."""
    text = """data_dri = "x"
[site]
title = "A"
url = "example.org"
languages = "en"
timezone = "Europe/Minks"
data_dir = "y"
[[categories]]
slug = "economy"
title = { en = "E", ru = 3 }
colour = "red"
[[sources]]
name = "a"
kind = "folders"
path = "x"
[[sources]]
name = "b"
kind = "folder"
category = "econmy"
statuses = { improve = ["x"] }
[[newsletters]]
slug = "weekly-digest"
title = "W\\r\\nBcc: x"
from_address = "a@localhost"
categories = ["economi", 3]
sources = ["c"]
max_articles = "abc"
skip_if_empty = "yes"
[newsletters.frequencies.weekly]
at = "25:00"
days = ["monday"]
[newsletters.frequencies."Bad One"]
cron = "0 7 * * 1"
[[feeds]]
slug = "language-en"
limit = 0
[smtp]
port = "abc"
[web]
listen = "8000"
"""
    environ = {"PUBLISHER_SMTP__CONNECTIONS": "99", "PUBLISHER_SMTP__PASWORD": "x"}
    assert problems(tmp_path, text, environ) == [
        "publisher.toml:1: data_dri: is not a known key (did you mean 'data_dir'?)",
        (
            "publisher.toml:2: site.postal_address: is missing: every mail must show the publication's postal address"
            " (smtp.embedded = true, for trying out, does without)"
        ),
        "publisher.toml:4: site.url: must be an absolute address such as 'https://example.org/', not 'example.org'",
        "publisher.toml:5: site.languages: must be a list in square brackets, not 'en' (write [\"en\"])",
        "publisher.toml:6: site.timezone: unknown time zone 'Europe/Minks': did you mean 'Europe/Minsk'?",
        "publisher.toml:7: site.data_dir: is not a known key (data_dir belongs above the first [table] of the file)",
        (
            "publisher.toml:10: categories.economy.title: must be text in quotes, or one text per language:"
            ' { en = "Politics", ru = "Политика" }'
        ),
        "publisher.toml:11: categories.economy.colour: must be a colour such as '#1d4ed8', not 'red'",
        "publisher.toml:14: sources.a.kind: must be 'folder' or 'pages', not 'folders' (did you mean 'folder'?)",
        "publisher.toml:16: sources.b.path: is missing",
        (
            "publisher.toml:19: sources.b.category: must be the slug of a category, and there is no 'econmy'"
            " (did you mean 'economy'?)"
        ),
        (
            "publisher.toml:20: sources.b.statuses.improve: must be 'improved', 'worsened' or 'unchanged'"
            " (did you mean 'improved'?)"
        ),
        (
            "publisher.toml:23: newsletters.weekly-digest.title: must be one line without control characters;"
            " it contains a carriage return"
        ),
        (
            "publisher.toml:24: newsletters.weekly-digest.from_address: 'localhost' is not a public domain such as"
            " example.org"
        ),
        (
            "publisher.toml:25: newsletters.weekly-digest.categories[0]: must be the slug of a category, and there is"
            " no 'economi' (did you mean 'economy'?)"
        ),
        "publisher.toml:25: newsletters.weekly-digest.categories[1]: must be text in quotes, not 3",
        (
            "publisher.toml:26: newsletters.weekly-digest.sources[0]: must be the name of a source, and there is no 'c'"
            " (known: a, b)"
        ),
        (
            "publisher.toml:27: newsletters.weekly-digest.max_articles: must be a whole number between 1 and 500,"
            " not 'abc'"
        ),
        "publisher.toml:28: newsletters.weekly-digest.skip_if_empty: must be true or false, not 'yes'",
        (
            "publisher.toml:30: newsletters.weekly-digest.frequencies.weekly.at: at = '25:00' is no time of day:"
            " write hours and minutes from '00:00' to '23:59'"
        ),
        (
            "publisher.toml:31: newsletters.weekly-digest.frequencies.weekly.days[0]: must be 'mon', 'tue', 'wed',"
            " 'thu', 'fri', 'sat' or 'sun', not 'monday' (did you mean 'mon'?)"
        ),
        (
            "publisher.toml:32: newsletters.weekly-digest.frequencies.'Bad One': must be lower-case letters, digits and"
            " single hyphens, at most 64, not 'Bad One' (for example 'foreign-policy')"
        ),
        "publisher.toml:35: feeds.language-en.slug: 'language-en' is the name of a built-in feed; choose another",
        "publisher.toml:36: feeds.language-en.limit: must be a whole number between 1 and 500, not 0",
        "publisher.toml:38: smtp.port: must be a whole number between 1 and 65535, not 'abc'",
        "publisher.toml:40: web.listen: must be an address and a port such as '127.0.0.1:8000', not '8000'",
        (
            "environment variable PUBLISHER_SMTP__CONNECTIONS: smtp.connections: must be a whole number between 1 and"
            " 64, not 99"
        ),
        (
            "environment variable PUBLISHER_SMTP__PASWORD: means no key that the environment can set"
            " (did you mean PUBLISHER_SMTP__PASSWORD?)"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = \n", "publisher.toml:1: is not valid TOML, at column 5: invalid value"),
        ("[site]\ntitle = Example\n", "publisher.toml:2: is not valid TOML, at column 9: invalid value"),
        ("[site]\ntitle = 'a'\ntitle = 'b'\n", "publisher.toml:3: is not valid TOML, at column 12: cannot overwrite"),
        ("[site]\ntitle = [1,", "publisher.toml:2: is not valid TOML, at the end of the file: invalid value"),
        ("", "publisher.toml: is empty"),
        ("\n \n", "publisher.toml: is empty"),
        ("a = " + "[" * 3000, "publisher.toml: nests lists and tables too deeply"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_at_its_line(tmp_path: Path, text: str, problem: str) -> None:
    """D1, D2."""
    (found,) = problems(tmp_path, text)
    assert found.startswith(problem)


def test_a_file_in_another_encoding_is_refused_at_its_line_and_a_byte_order_mark_is_not(tmp_path: Path) -> None:
    file = tmp_path / "publisher.toml"
    file.write_bytes("[site]\ntitle = 'Пример'\n".encode("cp1251"))
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert caught.value.problems == (Problem(str(file), 2, "", "is not UTF-8 text", "save it in the encoding UTF-8"),)
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load(file, {}).site.title == "Example"


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """D3."""
    with pytest.raises(ConfigurationError, match="is not a file"):
        load(tmp_path, {})
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load(tmp_path / "absent.toml", {})


toml_values = st.recursive(
    st.one_of(
        st.text(max_size=8), st.integers(), st.booleans(), st.floats(), st.times(), st.sampled_from(["en", "all"])
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(st.data())
def test_whatever_stands_in_a_key_ends_as_problems_never_as_another_error(data: st.DataObject) -> None:
    """Any value in the place of any other: the judges look at types before they look at values."""
    raw = tomllib.loads(packaged("config/publisher.toml").read_text(encoding="utf-8"))
    table: Any = raw
    while True:
        key = data.draw(st.sampled_from(sorted(table) if isinstance(table, dict) else list(range(len(table)))))
        inner = table[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 3)) == 0:
            break
        table = inner
    table[key] = data.draw(toml_values)
    list(rules.findings(raw))
    try:
        Config.model_validate(raw)
    except ValueError as error:
        for finding in sentences.findings(Config, error):  # type: ignore[arg-type] # pydantic's own is a ValueError
            assert not re.search(r"(?i)input should|pydantic", finding.message)


# --- rules between tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[[categories]]\nslug = "a"\ntitle = "A"\n[[categories]]\nslug = "a"\ntitle = "B"\n',
            "publisher.toml:12: categories.a.slug: 'a' is already the slug of another category",
        ),
        (
            '[[categories]]\nslug = "a"\ntitle = "A"\n[[feeds]]\nslug = "a"\n',
            "publisher.toml:12: feeds.a.slug: 'a' is already the slug of another category",
        ),
        (
            '[[feeds]]\nslug = "b"\nformer = ["c"]\n[[feeds]]\nslug = "c"\n',
            "publisher.toml:10: feeds.b.former[0]: 'c' is already the slug of another feed",
        ),
        (
            '[[feeds]]\nslug = "b"\nformer = ["x"]\n[[feeds]]\nslug = "c"\nformer = ["x"]\n',
            "publisher.toml:13: feeds.c.former[0]: 'x' is already a former name of the feed 'b'",
        ),
        ('[[feeds]]\nslug = "all"\n', "publisher.toml:9: feeds.all.slug: 'all' is the name of a built-in feed"),
        (
            '[[feeds]]\nslug = "author-x"\n',
            "publisher.toml:9: feeds.author-x.slug: 'author-x' is the name of a built-in",
        ),
        ('[[feeds]]\nslug = "../../x"\n', "publisher.toml:9: feeds[0].slug: must be lower-case letters, digits"),
        (
            '[[categories]]\nslug = "uncategorised"\ntitle = "U"\n',
            "publisher.toml:9: categories.uncategorised.slug: 'uncategorised' is the built-in category",
        ),
        (
            '[[sources]]\nname = "a"\nkind = "folder"\npath = "x"\n' * 2,
            "publisher.toml:13: sources.a.name: 'a' is already the name of another source",
        ),
        (NEWSLETTER + NEWSLETTER, "publisher.toml:18: newsletters.weekly-digest.slug: 'weekly-digest' is already the"),
        (
            NEWSLETTER + '[newsletters.frequencies.manual]\nat = "08:00"\n',
            "publisher.toml:16: newsletters.weekly-digest.frequencies.manual: 'manual' is the name of issues",
        ),
        (
            '[[feeds]]\nslug = "b"\nlanguages = ["de"]\n',
            "publisher.toml:10: feeds.b.languages[0]: must be one of site.languages, and there is no 'de'",
        ),
        (
            (
                '[[categories]]\nslug = "world"\ntitle = "W"\nformer = ["abroad"]\n[[feeds]]\nslug="b"\n'
                'categories = ["abroad"]\n'
            ),
            (
                "publisher.toml:14: feeds.b.categories[0]: must be the slug of a category, and there is no 'abroad'"
                " (it is called 'world' now)"
            ),
        ),
        (
            '[[transports]]\nname = "smtp"\nhost = "h.example"\n',
            "publisher.toml:9: transports.smtp.name: 'smtp' is the name of the table [smtp]; choose another",
        ),
        (
            '[[transports]]\nname = "a"\nhost = "h.example"\n' * 2,
            "publisher.toml:12: transports.a.name: 'a' is already the name of another transport",
        ),
        (
            '[[transports]]\nname = "a"\nhost = "h.example"\nsecurity = "plain"\npassword = "x"\n',
            "publisher.toml:11: transports.a.security: must not be 'plain' with a password: it would cross the network",
        ),
        (
            '[[transports]]\nname = "a"\nhost = "h.example"\npassword = "x"\npassword_file = "y"\n',
            "publisher.toml:12: transports.a.password_file: excludes password: keep one of the two",
        ),
        (
            '[[transports]]\nname = "a"\nhost = "h.example"\npassword_file = "nowhere"\n',
            "publisher.toml:11: transports.a.password_file: there is no file",
        ),
        ('[[transports]]\nname = "a"\n', "publisher.toml:8: transports.a.host: is missing"),
        (
            '[[transports]]\nname = "bulk"\nhost = "h.example"\n'
            + NEWSLETTER.replace("[newsletters.f", 'transport = "bluk"\n[newsletters.f'),
            (
                "publisher.toml:16: newsletters.weekly-digest.transport: must be the name of one of [[transports]],"
                " and there is no 'bluk' (did you mean 'bulk'?)"
            ),
        ),
        (
            '[[providers]]\nname = "ours"\n',
            "publisher.toml:8: providers.ours.domains: is missing: the program knows no provider 'ours' (known",
        ),
        (
            '[[providers]]\nname = "google"\ndomains = ["a.edu"]\n[[providers]]\nname = "b"\ndomains = ["A.edu"]\n',
            "publisher.toml:13: providers.b.domains[0]: 'A.edu' is already a domain of the provider 'google'",
        ),
        (
            '[[providers]]\nname = "google"\nrate = "fast"\n',
            "publisher.toml:10: providers.google.rate: 'fast' is not a",
        ),
        ('rate = "0/s"\n', "publisher.toml:8: smtp.rate: '0/s' must be from 1 to 1000000 mails; leave the key out"),
        ('warm_up = "9 to 2 in 3d"\n', "publisher.toml:8: smtp.warm_up: '9 to 2 in 3d' must grow from at least 1"),
        ('warm_up = "soon"\n', "publisher.toml:8: smtp.warm_up: 'soon' is no warming up: mails on the first day"),
        (
            NEWSLETTER.replace("[newsletters.f", 'spread = "2d"\n[newsletters.f'),
            "publisher.toml:13: newsletters.weekly-digest.spread: must be '24h' at most, not '2d'",
        ),
        ('[keeping]\nwords = "12h"\n', "publisher.toml:9: keeping.words: must be '1d' at least, not '12h'"),
        ('[keeping]\nreaders = "1w"\n', "publisher.toml:9: keeping.readers: must be '14d' at least, not '1w'"),
        ('[web]\nlisten = "[::1]:80"\nadmin_listen = "[::1]:80"\n', "publisher.toml:10: web.admin_listen: must differ"),
        ('[web]\nmedia = "nowhere"\n', "publisher.toml:9: web.media: there is no folder nowhere"),
        (
            NEWSLETTER.replace("[newsletters.f", 'templates = "t"\n[newsletters.f'),
            "publisher.toml:13: newsletters.weekly-digest.templates: there is no folder",
        ),
    ],
)
def test_tables_that_contradict_each_other_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    """D14 and the references of selections."""
    assert any(found.startswith(problem) for found in problems(tmp_path, MINIMAL + text))


def test_a_default_language_must_be_one_of_the_languages_and_is_the_first_unless_named(tmp_path: Path) -> None:
    text = MINIMAL.replace('"en", "ru"', '"RU", "pt-br"')
    assert loaded(tmp_path, text).site.languages == ("ru", "pt-BR")
    assert loaded(tmp_path, text).site.default_language == "ru"
    assert problems(tmp_path, text.replace("[smtp]", 'default_language = "en"\n[smtp]')) == [
        (
            "publisher.toml:6: site.default_language: must be one of site.languages, and there is no 'en'"
            " (known: ru, pt-BR)"
        ),
    ]


@pytest.mark.parametrize("zone", ["UTC+3", "Minsk", "", "Europe", "../../etc/passwd", "localtime"])
def test_an_unknown_time_zone_is_refused_never_taken_for_utc(tmp_path: Path, zone: str) -> None:
    """D13."""
    (found,) = problems(tmp_path, MINIMAL.replace("[smtp]", f'timezone = "{zone}"\n[smtp]'))
    assert found.startswith("publisher.toml:6: site.timezone: ")


def test_without_time_zone_data_every_zone_is_refused_never_taken_for_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D13: a machine without a tz database, and without the package that brings one."""
    zoneinfo.ZoneInfo.clear_cache()
    slots.zone_names.cache_clear()
    try:
        zoneinfo.reset_tzpath(to=())
        for name in [name for name in sys.modules if name.partition(".")[0] == "tzdata"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "tzdata", None)
        (found,) = problems(tmp_path, MINIMAL.replace("[smtp]", 'timezone = "Europe/Minsk"\n[smtp]'))
    finally:
        monkeypatch.undo()
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()
        slots.zone_names.cache_clear()
    assert found.startswith("publisher.toml:6: site.timezone: time zone 'Europe/Minsk' cannot be found: ")
    assert "install the package tzdata" in found
    assert (
        loaded(tmp_path, MINIMAL.replace("[smtp]", 'timezone = "Europe/Minsk"\n[smtp]')).site.timezone == "Europe/Minsk"
    )


@pytest.mark.parametrize("every", ["0s", "-5m", "9s", "1000000000s", "32d", "5", "five"])
def test_a_senseless_interval_is_refused(tmp_path: Path, every: str) -> None:
    """D12."""
    text = f'[[sources]]\nname = "a"\nkind = "folder"\npath = "x"\nevery = "{every}"\n'
    (found,) = problems(tmp_path, MINIMAL + text)
    assert found.startswith("publisher.toml:12: sources.a.every: ")


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ('cron = "* * * * *"', ".cron"),
        ('cron = "0 7 * * 8"', ".cron"),
        ('every = "0s"', ".every"),
        ('at = "07:00"\nday = 32', ".day"),
        ('at = "07:00"\nday = true', ".day"),
        ('at = "07:00"\nmax_lateness = "soon"', ".max_lateness"),
        ('at = "07:00"\nevery = "1d"', ""),
        ('at = "07:00"\nday = 1\ndays = ["mon"]', ""),
        ('days = ["mon"]', ""),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(tmp_path: Path, lines: str, key: str) -> None:
    """D12."""
    text = NEWSLETTER.replace('at = "07:00"\ndays = ["mon"]', lines)
    (found,) = problems(tmp_path, MINIMAL + text)
    assert f": newsletters.weekly-digest.frequencies.weekly{key}: " in found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("from_name", "A\\r\\nBcc: b@example.org"),
        ("from_name", "A\\u0000"),
        ("reply_to", "a@example.org\\nBcc: b@example.org"),
        ("subject", "{{ title }}\\r\\nX: y"),
        ("description", "a\\u2028b"),
    ],
)
def test_line_breaks_and_nul_cannot_enter_a_header(tmp_path: Path, key: str, value: str) -> None:
    """D9."""
    text = NEWSLETTER.replace("[newsletters.f", f'{key} = "{value}"\n[newsletters.f')
    (found,) = problems(tmp_path, MINIMAL + text)
    assert found.startswith(f"publisher.toml:13: newsletters.weekly-digest.{key}: must be one line")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ('"2027-02-30"', "newsletters.weekly-digest.blackout: must be a day such as 2027-01-01, or two"),
        ('"2027-01-03..2027-01-01"', "newsletters.weekly-digest.blackout: ends before it begins"),
        ('"soon"', "newsletters.weekly-digest.blackout: must be a day such as 2027-01-01"),
    ],
)
def test_a_blackout_is_a_list_of_days_or_stretches_of_days(tmp_path: Path, given: str, reason: str) -> None:
    text = NEWSLETTER.replace("[newsletters.f", f"blackout = [{given}]\n[newsletters.f")
    (found,) = problems(tmp_path, MINIMAL + text)
    assert found.startswith(f"publisher.toml:13: {reason}")
    good = NEWSLETTER.replace("[newsletters.f", 'blackout = [2027-01-01, "2026-12-24..2026-12-26"]\n[newsletters.f')
    [newsletter] = loaded(tmp_path, MINIMAL + good).newsletters
    days = [date(2026, 12, 23) + timedelta(days=number) for number in range(11)]
    assert [day.day for day in days if newsletter.blackout_on(day)] == [24, 25, 26, 1]


@pytest.mark.parametrize("name", ["mail.example.org\\r\\nX", "a b", "-a.org", "[1.2.3]", "a\\u0000"])
def test_a_hello_name_is_a_host_name_or_an_address_in_brackets(tmp_path: Path, name: str) -> None:
    """D9."""
    (found,) = problems(tmp_path, f'{MINIMAL}hello_name = "{name}"\n')
    assert found.startswith("publisher.toml:8: smtp.hello_name: must be a host name")
    assert loaded(tmp_path, f'{MINIMAL}hello_name = "[IPv6:::1]"\n').smtp.hello_name == "[IPv6:::1]"


@pytest.mark.parametrize(
    "url",
    [
        "example.org", "/path", "//example.org/", "ftp://example.org/", "javascript:alert(1)", "https://", "https:///x",
        "https://a b/", "https://example.org/ x", "https://u:p@example.org/", "https://example.org:99999/",
        "https://example.org:/", "https://exa_mple..org/", "https://[::1", "https://example.org/\\r\\nX: y", "https://пример.бел/",
    ],
)  # fmt: skip
def test_an_address_that_a_reader_could_not_open_is_refused(tmp_path: Path, url: str) -> None:
    (found,) = problems(tmp_path, MINIMAL.replace("https://example.org/", url))
    assert found.startswith("publisher.toml:4: site.url: must ")


def test_a_host_in_other_letters_is_refused_with_its_ascii_form(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, MINIMAL.replace("https://example.org/", "https://пример.бел/"))
    assert found.endswith("(the host in ASCII is 'xn--e1afmkfd.xn--90ais')")


@pytest.mark.parametrize(
    "url", ["https://example.org", "http://localhost:8000/a?b=c", "https://[::1]:8080/", "http://127.0.0.1"]
)
def test_an_address_that_a_reader_can_open_is_kept_as_it_is(url: str) -> None:
    assert values.url(url) == url


def test_the_address_of_an_article_is_made_of_known_placeholders_alone() -> None:
    assert values.url_pattern("/{year}/{slug}/") == "/{year}/{slug}/"
    for pattern in ("{slug}", "//{slug}", "https://example.org/{slug!r}", "https://example.org/{slug.x}", "/{", "/{0}"):
        with pytest.raises(values.WrongValueError):
            values.url_pattern(pattern)


# --- mail and secrets -------------------------------------------------------------------------------------------------


def sending(text: str) -> str:
    """The minimal configuration, sending to the world."""
    return MINIMAL.replace("embedded = true", text).replace("[smtp]", 'postal_address = """\nA\nB"""\n[smtp]')


def test_a_password_never_crosses_the_network_in_the_clear(tmp_path: Path) -> None:
    text = sending('host = "smtp.example.org"\nsecurity = "plain"\npassword = "x y"')
    assert problems(tmp_path, text) == [
        (
            "publisher.toml:11: smtp.security: must not be 'plain' with a password: it would cross the network to"
            " smtp.example.org unprotected (use 'starttls' or 'tls')"
        )
    ]
    for host in ("localhost", "127.0.0.1", "::1"):
        assert loaded(tmp_path, text.replace("smtp.example.org", host)).smtp.host == host


def test_a_password_is_found_in_the_environment_a_file_or_the_credentials(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(" s3cret \n")
    secret.chmod(0o600)
    host = 'host = "smtp.example.org"\n'
    by_file = loaded(tmp_path, sending(f'{host}password_file = "secret"'))
    assert by_file.smtp.password.get_secret_value() == " s3cret "
    assert by_file.smtp.password_file == secret
    by_environment = loaded(tmp_path, sending(host), {"PUBLISHER_SMTP__PASSWORD": " s3cret "})
    assert by_environment.smtp.password.get_secret_value() == " s3cret "
    (tmp_path / "smtp.password").write_text("other\n")
    (tmp_path / "smtp.password").chmod(0o400)
    by_credential = loaded(tmp_path, sending(host), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert by_credential.smtp.password.get_secret_value() == "other"
    assert "other" not in repr(by_credential)


def test_each_transport_has_a_password_and_a_pace_of_its_own(tmp_path: Path) -> None:
    """Issue 4, point 2: by file or by credential; a newsletter names its transport."""
    (tmp_path / "secret").write_text("one\n")
    (tmp_path / "transports.b.password").write_text("two\n")
    for name in ("secret", "transports.b.password"):
        (tmp_path / name).chmod(0o400)
    text = MINIMAL + NEWSLETTER.replace("[newsletters.f", 'transport = "b"\nspread = "4h"\n[newsletters.f')
    text += '[[transports]]\nname = "a"\nhost = "a.example"\npassword_file = "secret"\nrate = "10/s"\n'
    text += '[[transports]]\nname = "b"\nhost = "b.example"\nport = 465\nwarm_up = "10 to 90 in 3d"\n'
    config = loaded(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert list(config.servers) == ["smtp", "a", "b"]
    assert [server.password.get_secret_value() for server in config.servers.values()] == ["", "one", "two"]
    assert [server.limit for server in config.servers.values()] == [
        Limit(),
        Limit(Rate.parse("10/s")),
        Limit(warm_up=WarmUp(10, 90, 3)),
    ]
    assert (config.newsletters[0].transport, config.newsletters[0].spread_over) == ("b", timedelta(hours=4))
    assert [problem.key for problem in sending_problems(config)] == []
    nobody = loaded(
        tmp_path, sending('host = "c.example"') + '[[transports]]\nname = "a"\nhost = "d.example"\nusername = "u"\n'
    )
    assert [problem.key for problem in sending_problems(nobody)] == ["transports.a.password"]


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"x", 0o644, "can be read by everybody on this machine (chmod o-r"),
        (b"\n", 0o600, "is empty"),
        (b"\xff", 0o600, "is not UTF-8 text"),
        (b"a\nb", 0o600, "smtp.password: must be one line"),
        (b"${SMTP}", 0o600, "is a reference to a variable"),
        (None, 0, "there is no file"),
    ],
)
def test_a_password_file_that_protects_nothing_is_refused(
    tmp_path: Path, content: bytes | None, mode: int, message: str
) -> None:
    """D10."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
        (tmp_path / "secret").chmod(mode)
    (found,) = problems(tmp_path, sending('host = "smtp.example.org"\npassword_file = "secret"'))
    assert message in found


@pytest.mark.parametrize("place", ["database_url_file", "credential"])
def test_the_address_of_the_database_may_be_kept_in_a_file(tmp_path: Path, place: str) -> None:
    """D10: it may hold a password; it is read as the password of a server is, and shown as little."""
    (tmp_path / "database_url").write_text("postgresql://me:geheim@localhost/p\n", encoding="utf-8")
    (tmp_path / "database_url").chmod(0o600)
    key = 'database_url_file = "database_url"\n' if place == "database_url_file" else ""
    config = loaded(tmp_path, key + MINIMAL, {} if key else {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert config.database_url == "postgresql://me:geheim@localhost/p"
    (row,) = [row for row in shown(config) if row.key == "database_url"]
    assert (row.value, row.origin) == ("***", str(tmp_path / "database_url") if key else "credentials directory")
    assert "geheim" not in repr(config)


def test_an_address_of_the_database_that_everybody_reads_or_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """D10."""
    (tmp_path / "database_url").write_text("mysql://me:geheim@localhost/p", encoding="utf-8")
    (tmp_path / "database_url").chmod(0o644)
    (found,) = problems(tmp_path, 'database_url_file = "database_url"\n' + MINIMAL)
    assert "database_url_file: " in found
    assert "can be read by everybody on this machine" in found
    (tmp_path / "database_url").chmod(0o600)
    (found,) = problems(tmp_path, 'database_url_file = "database_url"\n' + MINIMAL)
    assert "geheim" not in found
    twice = 'database_url_file = "database_url"\ndatabase_url = "postgresql://localhost/p"\n' + MINIMAL
    (found,) = problems(tmp_path, twice)
    assert found == "publisher.toml:1: database_url_file: excludes database_url: keep one of the two"


def test_a_wrong_password_is_never_repeated_in_a_message(tmp_path: Path) -> None:
    assert problems(tmp_path, MINIMAL + "password = 12345\n") == [
        "publisher.toml:8: smtp.password: must be text in quotes"
    ]
    both = problems(tmp_path, MINIMAL + 'password = "hunter2\\n"\npassword_file = "x"\n')
    assert "hunter2" not in "".join(both)
    assert len(both) == 2


def test_what_sending_needs_is_asked_for_only_when_sending(tmp_path: Path) -> None:
    nowhere = loaded(tmp_path, sending(""))
    assert [str(problem) for problem in sending_problems(nowhere)] == [
        (
            f"{tmp_path}/publisher.toml:9: smtp.host: is missing: nobody takes our mail"
            " (to try things out, set smtp.embedded = true instead)"
        )
    ]
    both = loaded(tmp_path, sending('host = "localhost"\nembedded = true'))
    assert [(problem.line, problem.key) for problem in sending_problems(both)] == [(11, "smtp.embedded")]
    no_password = loaded(tmp_path, sending('host = "localhost"\nusername = "u"'))
    assert [problem.key for problem in sending_problems(no_password)] == ["smtp.password"]
    assert sending_problems(loaded(tmp_path, MINIMAL)) == ()


# --- environment, files, paths ----------------------------------------------------------------------------------------


def test_the_environment_sets_any_key_of_one_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "PUBLISHER_DATA_DIR": "here",
        "PUBLISHER_SITE__TITLE": "Other",
        "PUBLISHER_SMTP__PORT": "25",
        "PUBLISHER_SMTP__EMBEDDED": "No",
        "PUBLISHER_SMTP__SECURITY": "tls",
        "PUBLISHER_SITE__POSTAL_ADDRESS": "1 Street",
        "PUBLISHER_INGEST__MAX_NEW": "7",
        "PUBLISHER_PORT": "tcp://10.0.0.1:80",
        "PUBLISHER_CONFIG": "elsewhere.toml",
    }
    config = loaded(tmp_path / "config", MINIMAL, environ)
    assert config.data_dir == tmp_path / "here"
    assert config.site.title == "Other"
    assert (config.smtp.port, config.smtp.embedded, config.smtp.security) == (25, False, "tls")
    assert config.ingest.max_new == 7


def test_a_variable_that_is_empty_or_means_nothing_is_refused(tmp_path: Path) -> None:
    """D10: an unset `${VARIABLE}` of a container must not become an empty password."""
    environ = {"PUBLISHER_SMTP__PASSWORD": "", "PUBLISHER_SITE__LANGUAGES": "en", "PUBLISHER_NEWS__X": "1"}
    assert problems(tmp_path, MINIMAL, environ) == [
        "environment variable PUBLISHER_NEWS__X: means no key that the environment can set",
        (
            "environment variable PUBLISHER_SITE__LANGUAGES: means no key that the environment can set"
            " (did you mean PUBLISHER_SITE__DEFAULT_LANGUAGE?)"
        ),
        "environment variable PUBLISHER_SMTP__PASSWORD: is set but empty; unset it or give it a value",
    ]


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    text = MINIMAL + '[web]\nmedia = "../media"\n[[sources]]\nname = "a"\nkind = "folder"\npath = "../articles"\n'
    config = loaded(tmp_path / "config", text)
    assert config.data_dir == tmp_path / "data"
    assert config.web.media == tmp_path / "media"
    assert config.sources[0].path == tmp_path / "articles"


def test_newsletters_may_have_files_of_their_own(tmp_path: Path) -> None:
    own = NEWSLETTER.replace("[[newsletters]]\n", "").replace("[newsletters.", "[").replace("weekly-digest", "{}")
    (tmp_path / "newsletters/t").mkdir(parents=True)
    write(tmp_path, own.format("b"), "newsletters/b.toml")
    write(tmp_path, 'templates = "t"\n' + own.format("a"), "newsletters/a.toml")
    config = loaded(tmp_path, MINIMAL + NEWSLETTER)
    assert [newsletter.slug for newsletter in config.newsletters] == ["weekly-digest", "a", "b"]
    assert config.newsletters[1].templates == tmp_path / "newsletters/t"
    assert config.files == tuple(
        tmp_path / name for name in ("publisher.toml", "newsletters/a.toml", "newsletters/b.toml")
    )
    write(tmp_path, "slug = ", "newsletters/a.toml")
    write(tmp_path, own.format("b").replace("07:00", "7") + "\ntitel = 1", "newsletters/b.toml")
    found = problems(tmp_path, MINIMAL + NEWSLETTER.replace("title", "titel"))
    assert [line.partition(": ")[0] for line in found] == [
        "publisher.toml:9", "publisher.toml:11", "newsletters/a.toml:1", "newsletters/b.toml:6", "newsletters/b.toml:9",
    ]  # fmt: skip
    assert found[0] == "publisher.toml:9: newsletters.weekly-digest.title: is missing"
    assert found[3].startswith("newsletters/b.toml:6: newsletters.b.frequencies.weekly.at: ")


def test_the_file_is_named_by_option_then_environment_then_place(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL, "config/publisher.toml")
    write(tmp_path, MINIMAL, "other.toml")
    assert find(None, {}, tmp_path) == tmp_path / "config/publisher.toml"
    assert find(None, {"PUBLISHER_CONFIG": "other.toml"}, tmp_path) == tmp_path / "other.toml"
    assert (
        find(Path("config/publisher.toml"), {"PUBLISHER_CONFIG": "x"}, tmp_path) == tmp_path / "config/publisher.toml"
    )
    with pytest.raises(ConfigurationError, match=r"nothere\.toml: there is no such file \('publisher init DIR' writes"):
        find(None, {"PUBLISHER_CONFIG": "nothere.toml"}, tmp_path)


def test_two_loads_of_one_content_are_equal_wherever_its_lines_stand(tmp_path: Path) -> None:
    """A reload tells by comparison whether anything changed."""
    assert loaded(tmp_path, MINIMAL) == loaded(tmp_path, "# a comment\n" + MINIMAL)
    assert loaded(tmp_path, MINIMAL) != loaded(tmp_path, MINIMAL.replace("Example", "Other"))


# --- what the values are good for -------------------------------------------------------------------------------------


def test_a_frequency_gives_its_schedule_in_its_own_zone_or_the_publications() -> None:
    weekly = Frequency(at="07:00", days=("mon",))
    assert weekly.schedule("Europe/Minsk") == Schedule.parse(at="07:00", days=("mon",), timezone="Europe/Minsk")
    own = Frequency(cron="0 7 * * 1", timezone="Asia/Tokyo")
    assert own.schedule("Europe/Minsk") == Schedule.parse(cron="0 7 * * 1", timezone="Asia/Tokyo")


def test_lateness_is_six_hours_or_half_the_period_unless_given() -> None:
    """Spec delivery §5.4."""
    assert Frequency(at="07:00").lateness("UTC") == timedelta(hours=6)
    assert Frequency(every="1h").lateness("UTC") == timedelta(minutes=30)
    assert Frequency(every="1h", max_lateness="2d").lateness("UTC") == timedelta(days=2)


def test_text_comes_in_the_nearest_language() -> None:
    texts = {"en": "Economy", "ru": "Экономика"}
    assert in_language(texts, "ru-RU", "en") == "Экономика"
    assert in_language(texts, "de", "en") == "Economy"
    assert in_language(texts, "de", "be") == "Economy"
    assert in_language("Any", "de", "en") == "Any"


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:8000", ("127.0.0.1", 8000)), ("[::1]:0", ("::1", 0)), ("localhost:1", ("localhost", 1))],
)
def test_an_address_to_listen_on_is_host_and_port(text: str, parts: tuple[str, int]) -> None:
    assert split_listen(text) == parts


@pytest.mark.parametrize(
    "text", ["", ":80", "8000", "::1:80", "[127.0.0.1]:80", "a b:80", "a:65536", "a:-1", "a:８０", "1.2.3:80"]
)
def test_what_is_no_address_to_listen_on_is_refused(text: str) -> None:
    with pytest.raises(values.WrongValueError):
        split_listen(text)


@pytest.mark.parametrize("tag", ["en", "RU", "pt-br", "zh-hans-cn", "be-tarask", "sr-latn", "es-419", "de-1996"])
def test_language_tags_get_one_spelling(tag: str) -> None:
    assert values.language(tag) == values.language(tag.upper())
    assert values.language(tag).lower() == tag.lower()


@given(st.text(max_size=30))
def test_a_value_is_accepted_or_refused_and_nothing_else(text: str) -> None:
    for accept in (values.url, values.url_pattern, values.address, values.host, values.hello_name, values.listen,
                   values.domain, values.selector,
                   values.language, values.zone, values.interval, values.colour, values.slug, values.line):  # fmt: skip
        with contextlib.suppress(ValueError):
            assert isinstance(accept(text), str)


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_a_configuration_for_trying_out_earns_no_warning_but_for_what_is_not_there(tmp_path: Path) -> None:
    assert [str(problem) for problem in check(loaded(tmp_path, MINIMAL))] == [
        f"{tmp_path}/publisher.toml: there are no [[sources]]: no articles will be collected"
    ]


def test_what_is_probably_not_meant_is_a_warning_at_its_line(tmp_path: Path) -> None:
    text = (
        sending('host = "localhost"\npassword = "changeme"')
        + """[web]
admin_listen = "0.0.0.0:8001"
[[categories]]
slug = "a"
title = { en = "A", rus = "Б" }
colour = "#ffff00"
[[sources]]
name = "a"
kind = "folder"
path = "missing"
language = "de"
"""
    )
    config = loaded(tmp_path, text)
    config.files[0].chmod(0o644)
    assert [(problem.line, problem.key) for problem in check(config)] == [
        (None, "dkim.key_file"),
        (11, "smtp.password"),
        (11, "smtp.password"),
        (12, "web.public_url"),
        (13, "web.admin_listen"),
        (16, "categories.a.title"),
        (17, "categories.a.colour"),
        (21, "sources.a.path"),
        (22, "sources.a.language"),
    ]
    config.files[0].chmod(0o600)
    assert len(check(config)) == 8
    http = loaded(tmp_path, text.replace("[web]", '[web]\npublic_url = "http://news.example.org"'))
    assert any("one click" in problem.message for problem in check(http))


def test_an_age_limit_that_no_issue_could_keep_earns_a_warning(tmp_path: Path) -> None:
    """Issue 6, 1: what is older at every slot would reach nobody."""
    for limit, warned in (("6d", ["newsletters.weekly-digest.max_age"]), ("2w", [])):
        weekly = NEWSLETTER.replace("[newsletters.frequencies", f'max_age = "{limit}"\n[newsletters.frequencies')
        found = check(loaded(tmp_path, MINIMAL + weekly))
        assert [problem.key for problem in found if "max_age" in problem.key] == warned


def test_signatures_and_envelope_senders_that_prove_nothing_earn_a_warning(tmp_path: Path) -> None:
    """Spec mail P2, H14: DMARC asks that they are of the domain that readers see."""
    smtp = (
        'host = "smtp.example.org"\nbounce_domain = "bounces.{}"\n[web]\npublic_url = "https://example.org"\n[dkim]\n'
    )
    keys = 'selector = "p1"\nkey_file = "p1.pem"\ndomain = "{}"\n'
    good = loaded(tmp_path, sending(smtp.format("example.org") + keys.format("example.org")) + NEWSLETTER)
    assert [problem.key for problem in check(good)] == [""]
    bad = loaded(tmp_path, sending(smtp.format("example.com") + keys.format("ample.org")) + NEWSLETTER)
    assert [(problem.key, problem.message.partition(",")[0]) for problem in check(bad)] == [
        ("", "there are no [[sources]]: no articles will be collected"),
        ("newsletters.weekly-digest.from_address", "is not of dkim.domain (ample.org) or below it"),
        ("newsletters.weekly-digest.from_address", "is not of smtp.bounce_domain (bounces.example.com) or below it"),
    ]


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ('selector = "p1"', ["dkim.selector: needs dkim.key_file beside it"]),
        ('key_file = "p1.pem"', ["dkim.key_file: needs dkim.selector beside it"]),
        (
            'former_selector = "p0"\nformer_key_file = "p0.pem"',
            ["dkim.former_selector: needs dkim.selector: no mail is signed with this key alone"],
        ),
        (
            'selector = "p1"\nkey_file = "p1.pem"\ned25519_selector = "P1"\ned25519_key_file = "e.pem"',
            ["dkim.ed25519_selector: 'p1' is already dkim.selector; each key has its own"],
        ),
        (
            'selector = "a b"\nkey_file = "p1.pem"\ndomain = "localhost"',
            [
                "dkim.selector: must be letters, digits and hyphens, such as 'p202611', not 'a b'",
                "dkim.domain: must be a domain such as 'example.org', not 'localhost'",
            ],
        ),
    ],
)
def test_keys_come_with_their_selectors(tmp_path: Path, table: str, found: list[str]) -> None:
    assert [text.partition(": ")[2] for text in problems(tmp_path, f"{MINIMAL}[dkim]\n{table}\n")] == found


# --- the reference ----------------------------------------------------------------------------------------------------

REFERENCE = "config/publisher.toml"
TABLES: dict[str, tuple[type[BaseModel], ...]] = {
    "": (Config,),
    "site": (Site,),
    "categories": (Category,),
    "sources": (FolderSource, PagesSource),
    "sources.labels": (PageLabels,),
    "feeds": (Feed,),
    "newsletters": (Newsletter,),
    "newsletters.frequencies": (Frequency,),
    "sign_up": (SignUp,),
    "smtp": (Smtp,),
    "transports": (Transport,),
    "providers": (Provider,),
    "dkim": (Dkim,),
    "web": (Web,),
    "ingest": (Ingest,),
    "keeping": (Keeping,),
}


def documented() -> Iterator[tuple[str, str, str, bool, str]]:
    """Table, key, value, whether it is set, and the comment above, for each key of the reference."""
    table, comment = "", ""
    for line in packaged(REFERENCE).read_text(encoding="utf-8").splitlines():
        if header := re.match(r"\[+([a-z._-]+)\]+", line):
            table, comment = re.sub(r"(frequencies)\..*", r"\1", header[1]), ""
        elif key := re.match(r"(#?)([a-z0-9_]+) = (.*)", line):
            yield table, key[2], key[3], not key[1], comment
            comment = ""
        else:
            comment = f"{comment} {line[1:].strip()}" if line.startswith("#") else ""


def test_the_reference_loads_as_it_is() -> None:
    config = load(packaged(REFERENCE), {})
    assert [source.kind for source in config.sources] == ["folder", "pages"]
    assert len(config.categories) == 5
    assert {problem.key for problem in check(config)} <= {
        "sources.articles.path",
        "sources.saved-pages.path",
        "dkim.key_file",
    }
    assert sending_problems(config) == ()


def test_the_reference_documents_every_key_and_no_other() -> None:
    found = {(table, key) for table, key, *_ in documented()}
    tables = set(TABLES) | {"newsletters.frequencies"}
    wanted = {
        (table, key)
        for table, models in TABLES.items()
        for model in models
        for key in model.model_fields
        if f"{table}.{key}".strip(".") not in tables
        # What [[transports]] has in common with [smtp] is explained there.
        if table != "transports" or key not in Server.model_fields or model.model_fields[key].is_required()
    }
    assert found == wanted


def test_the_reference_states_the_right_default_of_every_key() -> None:
    seen: set[tuple[str, str]] = set()
    for table, key, value, is_set, comment in documented():
        if (table, key) in seen:
            continue  # the first of several tables explains
        seen.add((table, key))
        field = next(model.model_fields[key] for model in TABLES[table] if key in model.model_fields)
        stated = re.search(r"Default: (\"[^\"]*\"|\[[^]]*\]|\S+?)[.,]?(?: |$)", comment)
        if field.is_required():
            assert is_set
            assert "Required." in comment or key == "path", (table, key)
        elif field.default is None or key == "default_language":
            assert "Not set" in comment, (table, key)
        else:
            given = tomllib.loads(f"x = {stated[1] if stated else value}")["x"]
            assert is_set == bool(stated), (table, key)
            assert plain(field.default) == given, (table, key)


def plain(default: Any) -> Any:
    if hasattr(default, "get_secret_value"):
        return default.get_secret_value()
    return str(default) if isinstance(default, Path) else list(default) if isinstance(default, tuple) else default


def test_no_feed_and_no_newsletter_of_the_reference_names_a_source() -> None:
    config = load(packaged(REFERENCE), {})
    assert [table.sources for table in (*config.feeds, *config.newsletters)] == [(), ()]


def test_the_categories_of_the_reference_are_readable_on_white() -> None:
    config = load(packaged(REFERENCE), {})
    assert all(colours.contrast(category.colour, "#ffffff") >= 4.5 for category in config.categories)


def test_a_license_is_stated_by_its_address(tmp_path: Path) -> None:
    """FR-A6: told with file and line."""
    text = '[site]\ntitle = "T"\nurl = "https://example.org"\nlicense = "CC BY 4.0"\n[smtp]\nembedded = true\n'
    assert problems(tmp_path, text) == [
        "publisher.toml:4: site.license: must be an absolute address such as 'https://example.org/', not 'CC BY 4.0'"
    ]


def test_the_committed_schema_is_that_of_the_models_and_named_on_the_first_line() -> None:
    """`publisher config schema > config/publisher.schema.json` writes it anew."""
    committed = packaged("config/publisher.schema.json").read_text(encoding="utf-8")
    assert committed == json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"
    for name in (REFERENCE, "config/init/config/publisher.toml"):
        assert packaged(name).read_text(encoding="utf-8").startswith("#:schema ./publisher.schema.json\n")


def test_every_value_is_shown_with_its_origin_and_no_secret(tmp_path: Path) -> None:
    """D10: file and line, variable, file of a secret, or default."""
    file = write(tmp_path, MINIMAL + 'username = "me"\npassword_file = "secret"\n')
    (file.parent / "secret").write_text("geheim")
    (file.parent / "secret").chmod(0o600)
    rows = {row.key: row for row in shown(load(file, {"PUBLISHER_WEB__LISTEN": "127.0.0.1:9"}))}
    line = file.read_text(encoding="utf-8").splitlines().index('username = "me"') + 1
    assert (rows["smtp.username"].value, rows["smtp.username"].origin) == ("me", f"{file}:{line}")
    assert (rows["web.listen"].value, rows["web.listen"].origin) == (
        "127.0.0.1:9",
        "environment variable PUBLISHER_WEB__LISTEN",
    )
    assert (rows["smtp.password"].value, rows["smtp.password"].origin) == ("***", str(file.parent / "secret"))
    assert (rows["smtp.port"].value, rows["smtp.port"].origin) == (587, "default")
    assert "geheim" not in str(rows)


def test_the_schema_accepts_the_reference_and_refuses_an_unknown_key() -> None:
    raw = tomllib.loads(packaged(REFERENCE).read_text(encoding="utf-8"))
    jsonschema.validate(raw, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw | {"data_dri": "x"}, schema())
