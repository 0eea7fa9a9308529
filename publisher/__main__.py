"""`python -m publisher` is the command `publisher`."""

from publisher.cli import program

program()
