"""Alembic environment: runs in the connection that `zenskar.db.schema.migrate` passes in.

Each migration is a separate transaction, and none delays writers for long.
"""

from typing import cast

from alembic import context

from zenskar.db.schema.online import OnlineImpl
from zenskar.db.schema.all_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
    on_version_apply=lambda ctx, **_: ctx.impl.forget_step(),
)
impl = cast(OnlineImpl, context.get_context().impl)
impl.keep_to(context.config.attributes["limits"])
with context.begin_transaction():
    context.run_migrations()
