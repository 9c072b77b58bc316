"""What Alembic runs; the caller's connection is inside a transaction already."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
