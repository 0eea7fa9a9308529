"""One mail as bytes: a segment encoded once, each reader's own values spliced in."""

from __future__ import annotations

SLOT_UNSUBSCRIBE = "publisherslotunsubscribe7q2vk"
"""Stands in a segment's HTML and text where the reader's unsubscribe URL goes, for example as the value of a `href`.

Letters and digits only, so that escaping, CSS inlining, wrapping and quoted-printable leave it whole.
"""

SLOTS = (SLOT_UNSUBSCRIBE,)
"""Every slot that a segment may hold."""
