"""Pause a connection whose credentials belong to another account than its records."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connection_accounts, connections
from zenskar.db.connections import OTHER_ACCOUNT, SAME_ACCOUNT
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, FailureKind
from zenskar.sync import announcements
from zenskar.sync.context import SyncContext
from zenskar.telemetry.logs import get_logger

_SECONDS = 10.0
_INCONCLUSIVE = frozenset(
    {
        FailureKind.TRANSIENT,
        FailureKind.RATE_LIMITED,
        FailureKind.UNKNOWN_OUTCOME,
        FailureKind.CREDENTIALS,
    }
)
"""Failures that do not show whether the account can be read."""
_log = get_logger(__name__)


class AccountCheck:
    """Asks each integration for its account, once unless a call fails.

    The database keeps the first answer. A connection without an answer is not compared.
    """

    def __init__(self, context: SyncContext) -> None:
        self._context = context
        self._confirmed: dict[str, str | None] = {}

    async def confirm_all(self) -> None:
        """Compare the account of each connection; a failed call is repeated by a later run."""
        for source in self._context.connections:
            try:
                await self.confirm(source)
            except CallFailed as error:
                kind = error.failure.kind.value
                _log.warning("account_not_read", source=source, kind=kind)

    async def confirm(self, source: str) -> bool:
        """Return whether the connection uses its own account; pause it if not.

        Raises `CallFailed` when the external system does not answer.
        """
        if source in self._confirmed:
            return True
        account = await self._read(source)
        if account is None:
            self._confirmed[source] = None
            return True
        problem = await in_transaction(
            self._context.engine, lambda c: self._compare(c, source, account)
        )
        if problem is None:
            self._confirmed[source] = account
        return problem is None

    def of(self, source: str) -> str | None:
        """Return the account of a confirmed connection, None if it cannot be read."""
        return self._confirmed.get(source)

    async def check_again(self, source: str) -> bool:
        """Compare the account again, because an expected object is missing.

        Raises `CallFailed` when the external system does not answer.
        """
        self._confirmed.pop(source, None)
        return await self.confirm(source)

    async def _read(self, source: str) -> str | None:
        if (held := self._context.backoff.held(source)) is not None:
            raise CallFailed(held)
        try:
            answer = await self._context.invoker.call(source, "account", object, seconds=_SECONDS)
        except CallFailed as error:
            if error.failure.kind in _INCONCLUSIVE:
                raise
            _log.warning("account_not_read", source=source, kind=error.failure.kind.value)
            return None
        account = answer.value
        return account if isinstance(account, str) and account else None

    async def _compare(self, db: AsyncConnection, source: str, account: str) -> str | None:
        """Store or compare an account; return the reason if the connection is paused."""
        await connection_accounts.lock(db)
        own = await connection_accounts.account_of(db, source)
        if own not in {None, account}:
            text = (
                f"the credentials open the account {account}, and the records are linked with "
                f"{own}: use those of {own}, or, if it is meant, "
                f"zenskar connections resume {source} --accept-account"
            )
            await self._pause(db, source, OTHER_ACCOUNT, text)
            await connection_accounts.note_other(db, source, account)
            return text
        holder = await connection_accounts.holder(db, source, account, self._siblings(source))
        if holder is not None:
            text = f"the account {account} is the connection {holder}'s: one of them is too many"
            await self._pause(db, source, SAME_ACCOUNT, text)
            return text
        if own is None:
            await connection_accounts.remember(db, source, account)
        await self._resume(db, source)
        return None

    def _siblings(self, source: str) -> Sequence[str]:
        """Return the connections of the same plugin: their accounts are comparable."""
        known = self._context.connections
        return [name for name, c in known.items() if c.plugin.name == known[source].plugin.name]

    async def _pause(self, db: AsyncConnection, source: str, reason: str, text: str) -> None:
        broadcaster = self._context.broadcaster
        why = {"error_kind": reason, "error_message": text}
        await announcements.pause(db, broadcaster, source, reason, **why)

    async def _resume(self, db: AsyncConnection, source: str) -> None:
        """Resume a connection that was paused for a wrong account and has the right one now."""
        state = (await connections.states(db)).get(source)
        if state is not None and state.paused and state.reason in {OTHER_ACCOUNT, SAME_ACCOUNT}:
            await announcements.resume(db, self._context.broadcaster, source)
