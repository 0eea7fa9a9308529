"""How mail goes out, as the configuration has it: servers, their pace, receivers, signatures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from publisher.config import values
from publisher.config.models.table import FilePath, Flag, Line, Rate, Slug, Table, rate_of
from publisher.mail.pace import Limit, WarmUp

DEFAULT_TRANSPORT = "smtp"
"""What carries the mail of newsletters that name no transport: the table `[smtp]`."""


class Server(Table):
    """A server that takes our mail, and how fast it may come."""

    host: Annotated[str, AfterValidator(values.host)] = ""
    port: int = Field(default=587, ge=1, le=65535, strict=True)
    security: Literal["starttls", "tls", "plain"] = "starttls"
    username: Line = ""
    password: Annotated[SecretStr, AfterValidator(values.secret)] = SecretStr("")
    password_file: FilePath | None = None
    hello_name: Annotated[str, AfterValidator(values.hello_name)] = ""
    """Name given in EHLO; empty: the host of web.public_url."""
    connections: int = Field(default=4, ge=1, le=64, strict=True)
    rate: Rate = ""
    """The most mails over it, `10/s`, `600/m`, `5000/h`, `50000/d`; empty: no limit."""
    warm_up: Annotated[str, AfterValidator(values.warm_up)] = ""
    """Mails on the first day, on the last, and how many days, `200 to 50000 in 30d`; empty: none."""

    @property
    def limit(self) -> Limit:
        """What its pace is kept to."""
        return Limit(rate_of(self.rate), WarmUp.parse(self.warm_up) if self.warm_up else None)


class Smtp(Server):
    """Where mail goes out unless a newsletter says otherwise."""

    embedded: Flag = False
    """Deliver into the embedded inbox instead of the world; for trying out."""
    on_uncertain: Literal["retry", "hold"] = "retry"
    """Where a crash or broken connection left open whether a mail arrived: send it once more, or leave it to you."""
    bounce_domain: Annotated[str, AfterValidator(values.domain)] = ""
    """Domain of envelope senders, one address per delivery; empty: the newsletter's `from_address`."""


class Transport(Server):
    """Another server, for the newsletters that name it."""

    name: Slug
    host: Annotated[str, Field(min_length=1), AfterValidator(values.host)]


class Provider(Table):
    """Receivers of mail behind several domains, who judge us as one."""

    name: Slug
    domains: tuple[Annotated[str, Field(min_length=1), AfterValidator(values.domain)], ...] = ()
    """Added to those that the program knows of a provider of this name."""
    rate: Rate = ""
    """The most mails to it over each transport; empty: no limit until it asks for one."""
    rest: Annotated[str, AfterValidator(values.duration)] = ""
    """How long it gets nothing after it said "too fast"; empty: what the program knows of it, or a minute."""


class Dkim(Table):
    """Signatures that prove mail to be ours; without a key it goes out unsigned."""

    domain: Annotated[str, AfterValidator(values.domain)] = ""
    """Domain that vouches; empty: that of each newsletter's `from_address`."""
    selector: Annotated[str, AfterValidator(values.selector)] = ""
    """Where the public key stands: `SELECTOR._domainkey.DOMAIN`."""
    key_file: FilePath | None = None
    """RSA, 2048 bits or more, in PEM."""
    former_selector: Annotated[str, AfterValidator(values.selector)] = ""
    """The key before this one: it signs further attempts of what it signed first, nothing new."""
    former_key_file: FilePath | None = None
    ed25519_selector: Annotated[str, AfterValidator(values.selector)] = ""
    """A second signature (RFC 8463), for verifiers that know it."""
    ed25519_key_file: FilePath | None = None
