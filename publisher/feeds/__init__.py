"""Feeds: what readers poll; `feeds.publishing` tells their story."""

from publisher.feeds.places import folder
from publisher.feeds.spec import FORMATS, MEDIA_TYPES, FeedSpec, Format, feeds_of

# What builds documents is not here: loading it takes a tenth of a second, which pages do not need.
__all__ = ["FORMATS", "MEDIA_TYPES", "FeedSpec", "Format", "feeds_of", "folder"]
