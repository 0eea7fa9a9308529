"""Where pages and feeds of the service are: the one place that knows its addresses."""

from __future__ import annotations

from urllib.parse import quote

from publisher.config import Config
from publisher.model import Article


def public_url(config: Config) -> str:
    """Return the address under which readers reach the service, without a slash at its end."""
    return (config.web.public_url or f"http://{config.web.listen}").rstrip("/")


def admin(config: Config) -> str:
    """Return the address under which operators reach the admin pages, without a slash at its end."""
    return (config.web.admin_url or f"http://{config.web.admin_listen}").rstrip("/")


def home(config: Config) -> str:
    """Return the address of the home page."""
    return f"{public_url(config)}/"


def article_page(config: Config, article: Article) -> str:
    """Return the address of the article's page here; `ref` finds it, the slug is for people."""
    return f"{public_url(config)}/articles/{article.ref}/{quote(article.slug)}"


def article_ref(config: Config, ref: str) -> str:
    """Return an address that leads to where an article is read, wherever that is by then: it never changes."""
    return f"{public_url(config)}/articles/{ref}"


def article(config: Config, article: Article) -> str:
    """Return where the article is read: its own address, else its page here."""
    return article.url or article_page(config, article)


def category(config: Config, slug: str, language: str) -> str:
    """Return the address of the page that lists a category's articles."""
    return f"{public_url(config)}/categories/{slug}?lang={quote(language)}"


def newsletters(config: Config, language: str) -> str:
    """Return the address of the page that lists all newsletters."""
    return f"{public_url(config)}/newsletters/?lang={quote(language)}"


def newsletter(config: Config, slug: str, language: str, *, before: str = "") -> str:
    """Return the address of the page of a newsletter: what it is, and its issues; those `before` one, by its ref."""
    older = f"&before={quote(before)}" if before else ""
    return f"{public_url(config)}/newsletters/{slug}?lang={quote(language)}{older}"


def issue(config: Config, ref: str, language: str) -> str:
    """Return the address of the page that shows an issue in a language."""
    return f"{public_url(config)}/issues/{ref}?lang={quote(language)}"


def feed(config: Config, name: str) -> str:
    """Return the address of a feed's file, for example `all.atom`."""
    return f"{public_url(config)}/feeds/{name}"


def feed_page(config: Config, slug: str) -> str:
    """Return the address of the page that shows a feed to people."""
    return f"{public_url(config)}/feeds/{slug}"


def feeds(config: Config) -> str:
    """Return the address of the page that lists all feeds."""
    return f"{public_url(config)}/feeds/"


TRIAL = "trial"
"""Stands for a token in mails that count for nothing, and where `doctor` sees whether one-click posts arrive."""


def trial(config: Config) -> str:
    """Return a link for leaving that is nobody's: a page says so, and a one-click post to it changes nothing."""
    return f"{public_url(config)}/u/{TRIAL}"


def confirm(config: Config, token: str) -> str:
    """Return the address of the page that asks once more before a sign-up counts."""
    return f"{public_url(config)}/c/{token}"


def manage(config: Config, token: str) -> str:
    """Return the address of all of a person's settings, which works for a day."""
    return f"{public_url(config)}/m/{token}"


def new_address(config: Config, token: str) -> str:
    """Return the address of the page that asks once more before a person moves."""
    return f"{public_url(config)}/a/{token}"


def preferences(config: Config, unsubscribe_token: str) -> str:
    """Return the address where the holder of any mail can choose less (F18)."""
    return f"{public_url(config)}/u/{unsubscribe_token}/preferences"
