"""The configuration: a TOML file becomes one frozen value, or every problem in it at once."""

from publisher.config.advice import check, sending_problems
from publisher.config.load import find, load, schema
from publisher.config.models import (
    Category,
    Config,
    Dkim,
    Feed,
    FolderSource,
    Frequency,
    Ingest,
    Newsletter,
    PageLabels,
    PagesSource,
    Selection,
    SignUp,
    Site,
    Slug,
    Smtp,
    Source,
    Texts,
    Web,
    in_language,
)
from publisher.config.values import split_listen

__all__ = [
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
    "Selection",
    "SignUp",
    "Site",
    "Slug",
    "Smtp",
    "Source",
    "Texts",
    "Web",
    "check",
    "find",
    "in_language",
    "load",
    "schema",
    "sending_problems",
    "split_listen",
]
