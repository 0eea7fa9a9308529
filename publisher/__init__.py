"""Publisher turns a publication's articles into feeds and one digest per reader."""

# The whole flow, in the order of a day:
#
#   schedule   says which source, which newsletter is due
#   sources    collect drafts of articles from folders and saved pages
#   ingest     decides what is new, changed, moved, held back or withdrawn
#   store      keeps articles, readers, issues and deliveries
#   feeds      builds RSS, Atom and JSON Feed from articles, and writes them
#   digests    composes one dated issue of a newsletter into segments of readers
#   mail       sends each reader's delivery and records what the server said
#   web        serves feeds, pages and one-click unsubscribing
#   app, cli   put the parts together and give every story a command

__version__ = "0.1.0"
