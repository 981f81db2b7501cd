"""Stop a connection whose credentials open another account than the one it is linked with."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connection_accounts, connections
from zenskar.db.connections import OTHER_ACCOUNT, SAME_ACCOUNT
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, FailureKind
from zenskar.sync.context import SyncContext
from zenskar.telemetry.logs import get_logger

_SECONDS = 10.0
_AWAY = frozenset(
    {
        FailureKind.TRANSIENT,
        FailureKind.RATE_LIMITED,
        FailureKind.UNKNOWN_OUTCOME,
        FailureKind.CREDENTIALS,
    }
)
"""Failures that say nothing of whether the account can be read."""
_log = get_logger(__name__)


class AccountCheck:
    """Asks integrations which account they speak to, each once while all is well.

    The first answer is remembered in the database. A connection without an answer is not compared.
    """

    def __init__(self, context: SyncContext) -> None:
        self._context = context
        self._confirmed: dict[str, str | None] = {}

    async def confirm_all(self) -> None:
        """Compare the account of each connection; one that does not answer is asked again later."""
        for source in self._context.connections:
            try:
                await self.confirm(source)
            except CallFailed as error:
                kind = error.failure.kind.value
                _log.warning("account_not_read", source=source, kind=kind)

    async def confirm(self, source: str) -> bool:
        """Return whether the connection speaks to its own account; else it is paused.

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
        """Return the account of a confirmed connection, None where it cannot be read."""
        return self._confirmed.get(source)

    async def check_again(self, source: str) -> bool:
        """Compare once more, since an object is not there that should be."""
        self._confirmed.pop(source, None)
        return await self.confirm(source)

    async def _read(self, source: str) -> str | None:
        if (held := self._context.backoff.held(source)) is not None:
            raise CallFailed(held)
        try:
            answer = await self._context.invoker.call(source, "account", object, seconds=_SECONDS)
        except CallFailed as error:
            if error.failure.kind in _AWAY:
                raise
            _log.warning("account_not_read", source=source, kind=error.failure.kind.value)
            return None
        account = answer.value
        return account if isinstance(account, str) and account else None

    async def _compare(self, db: AsyncConnection, source: str, account: str) -> str | None:
        """Remember or compare an account; pause the connection and return why if it differs."""
        await connection_accounts.lock(db)
        own = await connection_accounts.account_of(db, source)
        if own not in {None, account}:
            text = (
                f"the credentials open the account {account}, and the records are linked with "
                f"{own}: use those of {own}, or, if it is meant, "
                f"zenskar connections resume {source} --accept-account"
            )
            await self._stop(db, source, OTHER_ACCOUNT, text)
            await connection_accounts.note_other(db, source, account)
            return text
        holder = await connection_accounts.holder(db, source, account, self._siblings(source))
        if holder is not None:
            text = f"the account {account} is the connection {holder}'s: one of them is too many"
            await self._stop(db, source, SAME_ACCOUNT, text)
            return text
        if own is None:
            await connection_accounts.remember(db, source, account)
        await self._go_on(db, source)
        return None

    def _siblings(self, source: str) -> Sequence[str]:
        """Return the connections of the same plugin, whose accounts can be compared."""
        known = self._context.connections
        return [name for name, c in known.items() if c.plugin.name == known[source].plugin.name]

    async def _stop(self, db: AsyncConnection, source: str, reason: str, text: str) -> None:
        if await connections.pause(db, source, reason, reason, text):
            _log.error("connection_paused", source=source, reason=reason, problem=text)

    async def _go_on(self, db: AsyncConnection, source: str) -> None:
        """End a pause for a wrong account now that it is the right one."""
        state = (await connections.states(db)).get(source)
        if state is not None and state.paused and state.reason in {OTHER_ACCOUNT, SAME_ACCOUNT}:
            await connections.resume(db, source)
            _log.info("connection_resumed", source=source)
