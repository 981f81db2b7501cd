"""The metadata that every table belongs to, and the columns that many tables have."""

from sqlalchemy import Column, DateTime, MetaData, Uuid, func

metadata = MetaData()


def id_column() -> Column[str]:
    """Return the primary key of a table: a time-ordered id."""
    return Column("id", Uuid(as_uuid=False), primary_key=True)


def time_column(name: str, *, nullable: bool = True) -> Column[object]:
    """Return a column of a time; a column that must have a value gets the present time."""
    default = None if nullable else func.now()
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)
