"""Dates as articles write them, and as readers want to read them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

Style = Literal["short", "long", "full", "time"]


def parse(text: str, zone: ZoneInfo) -> datetime:
    """Return the moment as aware UTC; ValueError says what is wrong and the way out."""
    raise NotImplementedError


def from_value(value: object, zone: ZoneInfo) -> datetime:
    """Like `parse`, also for the date and datetime objects of YAML and TOML."""
    raise NotImplementedError


def from_path(path: str) -> tuple[date, str] | None:
    """Return day and slug of `2017-05-22-title.md` or `2020/03/12/Title`, None for any other path."""
    raise NotImplementedError


def local(value: date | datetime, zone: ZoneInfo) -> datetime:
    """Return local wall time (a date: its midnight) as aware UTC."""
    raise NotImplementedError


def display(when: datetime, language: str, zone: ZoneInfo, style: Style = "long") -> str:
    """Return the moment as readers of the language write it."""
    raise NotImplementedError
