"""Where Alembic finds the connection and the tables; `publisher.store.migrate` opens and commits the transaction."""

from alembic import context

from publisher.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes most things of a table only by rebuilding it
)
context.run_migrations()
