"""The system: workers, plugins, API keys, tables, retention; the actions on API keys."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.console.page import ROOT, Action, ActionField, ConsolePage, Done, Preview, Visit
from zenskar.db import api_keys, workers
from zenskar.db.api_keys import ApiKey
from zenskar.db.driver.engine import in_transaction
from zenskar.db.schema import revision
from zenskar.db.schema.table_sizes import table_sizes
from zenskar.db.schema.versions import DatabaseVersions, versions
from zenskar.db.workers import WorkerState
from zenskar.errors import InvalidInput
from zenskar.model.scope import Scope
from zenskar.ops import keys
from zenskar.ops.state import table_growth
from zenskar.ops.state.system_state import WORKER_SECONDS
from zenskar.settings import Settings

SECTION = "/system"
_RETENTION = re.compile(r"retention_(.+)_days")
_LARGEST_TABLES = 7
_SPANS = {"1": "1 day", "30": "30 days", "90": "90 days", "365": "1 year", "": "never"}


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page."""
    services, settings = visit.services, visit.services.settings

    async def load(
        db: AsyncConnection,
    ) -> tuple[list[WorkerState], Sequence[ApiKey], DatabaseVersions, Mapping[str, int]]:
        return (
            await workers.read_all(db),
            await api_keys.read_all(db),
            await versions(db),
            await table_sizes(db),
        )

    found, known, database, sizes = await in_transaction(services.engine, load)
    grown = await in_transaction(services.engine, lambda c: table_growth.growth(c, sizes))
    tables = sorted(sizes.items(), key=lambda pair: -pair[1])
    return {
        "version": version("zenskar"),
        "database": database,
        "kafka": bool(settings.kafka_bootstrap_servers),
        "auth": settings.auth,
        "workers": found,
        "gone_before": datetime.now(UTC) - timedelta(seconds=WORKER_SECONDS),
        "plugins": services.operations.inventory().plugins,
        "schema": await revision.status(services.engine),
        "keys": sorted(known, key=lambda key: (not key.in_force, key.created_at)),
        "tables": tables,
        "largest": _LARGEST_TABLES,
        "bytes": sum(sizes.values()),
        "grown": grown,
        "grown_bytes": sum(grown.values()),
        "retentions": {
            named[1]: getattr(settings, name)
            for name in Settings.model_fields
            if (named := _RETENTION.fullmatch(name))
        },
    }


async def preview_create(_visit: Visit) -> Preview:
    """Ask for the name, the scope and the end of a key."""
    return Preview(
        "Create an API key",
        "The key is shown once. Give each program a key of its own, with the least scope.",
        "Create key",
        f"{ROOT}{SECTION}",
        fields=[
            ActionField("name", "Name", help="The program or the person that uses it."),
            ActionField("scope", "Scope", "read", choices=[(each, each) for each in Scope]),
            ActionField("days", "Expires in", "90", choices=list(_SPANS.items())),
        ],
    )


async def create(visit: Visit) -> Done:
    """Create a key, and show it once.

    Raises `InvalidInput` for a scope or an end that is no choice of the form.
    """
    name, days = visit.form.get("name", "").strip(), visit.form.get("days", "")
    if days not in _SPANS or visit.form.get("scope") not in list(Scope):
        raise InvalidInput("the scope or the end is not one of the choices")
    until = datetime.now(UTC) + timedelta(days=int(days)) if days else None
    scope, by = Scope(visit.form["scope"]), visit.actor
    made, key = await in_transaction(
        visit.services.engine, lambda c: keys.create(c, name, scope, until, by)
    )
    return Done(f"The key {made.prefix} of {name} is created.", f"{ROOT}{SECTION}", secret=key)


async def preview_revoke(visit: Visit) -> Preview:
    """Name the key and its last use."""
    prefix = visit.part("prefix")
    key = await in_transaction(visit.services.engine, lambda c: keys.read(c, prefix))
    used = key.last_used_at.strftime("%Y-%m-%d %H:%M") if key.last_used_at else "never"
    own = key.id == visit.operator.key_id
    return Preview(
        f"Revoke the key {key.prefix}?",
        "Every process refuses it within seconds. Its sessions end."
        + (" This is your own key: you are logged out." if own else ""),
        "Revoke",
        f"{ROOT}{SECTION}",
        counts=[("Name", key.name), ("Scope", key.scope), ("Last used", used)],
        dangerous=True,
        refusal="" if key.in_force else "The key is not in force any more.",
    )


async def revoke(visit: Visit) -> Done:
    """Revoke the key."""
    prefix, by = visit.part("prefix"), visit.actor
    await in_transaction(visit.services.engine, lambda c: keys.revoke(c, prefix, by))
    return Done(f"The key {prefix} is revoked.", f"{ROOT}{SECTION}")


PAGE = ConsolePage(SECTION, "system.html", read, menu="System", icon="system")
ACTIONS = (
    Action(f"{SECTION}/keys/create", preview_create, create, SECTION, Scope.ADMIN),
    Action(f"{SECTION}/keys/{{prefix}}/revoke", preview_revoke, revoke, SECTION, Scope.ADMIN),
)
