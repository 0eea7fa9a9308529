"""How a person comes to receive a newsletter, and how they stop: always by a consent that is on record."""

from publisher.subscriptions.adding import add_readers

__all__ = ["add_readers"]
