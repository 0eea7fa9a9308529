"""A small publication on disk, for tests that run the whole app."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from publisher import config
from publisher.config import Config

CONFIGURATION = """\
data_dir = "../data"

[site]
title = {{ en = "The Ledger", ru = "Книга" }}
url = "https://ledger.example"
languages = ["en", "ru"]
timezone = "Europe/Minsk"

[[categories]]
slug = "economy"
title = {{ en = "Economy", ru = "Экономика" }}

[[categories]]
slug = "security"
title = {{ en = "Security", ru = "Безопасность" }}

[[sources]]
name = "articles"
kind = "folder"
path = "../articles"
first_collection = "mail"

[[newsletters]]
slug = "weekly"
title = {{ en = "The week", ru = "Неделя" }}
from_address = "editors@ledger.example"

[newsletters.frequencies.weekly]
days = ["mon"]
at = "07:00"

[smtp]
embedded = true

[web]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
public_url = "https://mail.ledger.example"
{more}
"""

HARVEST = """\
---
title: A good harvest
date: 2026-11-20 09:00
category: economy
author: Ana Lind
status: improved
---
Barley **doubled** in the south.
"""

HARVEST_RU = """\
---
title: Хороший урожай
date: 2026-11-20 10:00
category: economy
lang: ru
translation_of: harvest
---
На юге ячменя стало вдвое больше.
"""

BORDER = """\
---
title: The border is quiet
date: 2026-11-19 09:00
category: security
---
Nobody crossed it.
"""


def write_publication(
    home: Path, articles: Mapping[str, str] | None = None, *, more: str = "", configuration: str = CONFIGURATION
) -> Path:
    """Write configuration and articles below `home`; return the configuration file. Files look an hour old (A3)."""
    file = home / "config" / "publisher.toml"
    file.parent.mkdir(parents=True)
    file.write_text(configuration.format(more=more), encoding="utf-8")
    given = {"harvest.md": HARVEST, "harvest.ru.md": HARVEST_RU, "border.md": BORDER} if articles is None else articles
    (home / "articles").mkdir()
    for name, text in given.items():
        write_article(home, name, text)
    return file


def write_article(home: Path, name: str, text: str) -> Path:
    """Write one article that nobody is writing any more."""
    path = home / "articles" / name
    path.write_text(text, encoding="utf-8")
    old = path.stat().st_mtime - 3600
    os.utime(path, (old, old))
    return path


def load_publication(home: Path, articles: Mapping[str, str] | None = None, *, more: str = "") -> Config:
    """Write a publication and load its configuration."""
    return config.load(write_publication(home, articles, more=more), {})
