"""A database that refuses to commit, for tests of the recovery."""

from tests.support.flow import Flow

_STATEMENTS = (
    "CREATE SEQUENCE tries",
    """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') <= {times} THEN
            RAISE EXCEPTION 'not this time' USING ERRCODE = '{error}';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON {table}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()
    """,
)


async def refuse(flow: Flow, table: str, condition: str, error: str, times: int = 1) -> None:
    """Fail the commits of so many transactions that write such a row, with this error."""
    async with flow.runtime.engine.begin() as db:
        for statement in _STATEMENTS:
            text = statement.format(table=table, condition=condition, error=error, times=times)
            await db.exec_driver_sql(text)


async def tries(flow: Flow) -> int:
    """Return how many transactions reached that commit."""
    return int(await flow.scalar("SELECT last_value FROM tries"))
