"""The service itself, as the configuration has it: where it listens, its guards, what it keeps."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from publisher.config import values
from publisher.config.models.table import FilePath, Table, Url
from publisher.slots import parse_duration


class Web(Table):
    """Where the service listens and how the world reaches it."""

    listen: Annotated[str, AfterValidator(values.listen)] = "127.0.0.1:8000"
    admin_listen: Annotated[str, AfterValidator(values.listen)] = "127.0.0.1:8001"
    public_url: Url = ""
    """Address under which readers reach web.listen; links in mail point there. Empty: http:// + web.listen."""
    admin_url: Url = ""
    """Address under which you reach web.admin_listen; links to log in point there. Empty: http:// + it."""
    media: FilePath | None = None
    """A folder whose files are served under /media/, for pictures that articles have nowhere else."""
    hubs: tuple[Annotated[Url, Field(min_length=1)], ...] = ()
    """WebSub hubs that feeds name and that are told when a feed changed."""
    author_feeds: bool = Field(default=True, strict=True)
    """Whether each author of a visible article has a feed."""
    author_archives: bool = Field(default=False, strict=True)
    """Whether these feeds have archives too."""
    feeds_as_xml: bool = Field(default=False, strict=True)
    """Whether RSS and Atom are sent as application/xml, which browsers show with a style sheet."""
    feed_polls_per_hour: int = Field(default=60, ge=0, strict=True)
    """Downloads of one feed by one client address in an hour before it is told to wait; 0: no limit."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(values.network)], ...] = ("127.0.0.1", "::1")
    """Addresses or networks of proxies whose X-Forwarded-For is believed."""


class Ingest(Table):
    """Guards between a source and readers (spec delivery §5.4)."""

    max_age_days: int = Field(default=14, ge=1, strict=True)
    """An article published longer ago joins feeds but is not mailed."""
    max_new: int = Field(default=20, ge=1, strict=True)
    """More new articles than this in one collection are quarantined until released."""


class Keeping(Table):
    """What is kept of mails that went out, and for how long (spec delivery §8)."""

    words: Annotated[str, AfterValidator(values.keep_words)] = "30d"
    """How long what servers said of a mail is kept."""
    readers: Annotated[str, AfterValidator(values.keep_readers)] = "90d"
    """How long a delivery says whose it was; afterwards it is a number in the sums of its issue."""

    @property
    def words_for(self) -> timedelta:
        """`words` as a time."""
        return parse_duration(self.words)

    @property
    def readers_for(self) -> timedelta:
        """`readers` as a time."""
        return parse_duration(self.readers)
