"""The whole configuration: its tables are below, a module a theme."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PrivateAttr

from publisher.config import values
from publisher.config.models.feeds import Feed
from publisher.config.models.newsletters import Newsletter, SignUp
from publisher.config.models.publication import Category, Site
from publisher.config.models.sending import DEFAULT_TRANSPORT, Dkim, Provider, Server, Smtp, Transport
from publisher.config.models.service import Ingest, Keeping, Web
from publisher.config.models.sources import Source
from publisher.config.models.table import FilePath, Table
from publisher.config.places import Places


class Config(Table):
    """The whole configuration. Paths are absolute once loaded."""

    site: Site
    data_dir: FilePath = Path("../data")
    database_url: Annotated[str, AfterValidator(values.database_url)] = Field(default="", repr=False)
    """`postgresql://user@host/name` (needs the extra `postgres`); empty: SQLite in the data directory."""
    database_url_file: FilePath | None = None
    """A file that holds it, for an address with a password."""
    templates: FilePath | None = None
    """A folder whose files replace the built-in templates of the same name."""
    categories: tuple[Category, ...] = ()
    sources: tuple[Source, ...] = ()
    feeds: tuple[Feed, ...] = ()
    newsletters: tuple[Newsletter, ...] = ()
    sign_up: SignUp = SignUp()
    smtp: Smtp = Smtp()
    transports: tuple[Transport, ...] = ()
    providers: tuple[Provider, ...] = ()
    dkim: Dkim = Dkim()
    web: Web = Web()
    ingest: Ingest = Ingest()
    keeping: Keeping = Keeping()

    _places: Places = PrivateAttr(default_factory=Places)

    @property
    def servers(self) -> dict[str, Server]:
        """Every transport by name; the one that newsletters use unless they say otherwise first."""
        return {DEFAULT_TRANSPORT: self.smtp, **{transport.name: transport for transport in self.transports}}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it was read from, `publisher.toml` first; none when it was made by hand."""
        return tuple(Path(file) for file in self._places.files)

    @property
    def places(self) -> Places:
        """Where in the files its keys stand, for warnings."""
        return self._places
