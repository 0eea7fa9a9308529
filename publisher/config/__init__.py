"""The configuration: a TOML file becomes one frozen value, or every problem in it at once."""

from publisher.config.advice import check, sending_problems
from publisher.config.load import find, load
from publisher.config.models import Config
from publisher.config.models.feeds import Feed, Selection
from publisher.config.models.newsletters import Frequency, Newsletter, SignUp
from publisher.config.models.publication import Category, Site
from publisher.config.models.sending import DEFAULT_TRANSPORT, Dkim, Provider, Server, Smtp, Transport
from publisher.config.models.service import Ingest, Web
from publisher.config.models.sources import FolderSource, PageLabels, PagesSource, Source
from publisher.config.models.table import Slug, Texts, in_language
from publisher.config.values import split_listen

__all__ = [
    "DEFAULT_TRANSPORT",
    "Category",
    "Config",
    "Dkim",
    "Feed",
    "FolderSource",
    "Frequency",
    "Ingest",
    "Newsletter",
    "PageLabels",
    "PagesSource",
    "Provider",
    "Selection",
    "Server",
    "SignUp",
    "Site",
    "Slug",
    "Smtp",
    "Source",
    "Texts",
    "Transport",
    "Web",
    "check",
    "find",
    "in_language",
    "load",
    "sending_problems",
    "split_listen",
]
