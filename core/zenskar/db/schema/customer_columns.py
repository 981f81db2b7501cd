"""The columns of `customers` that hold the fields of a customer.

The model names the fields, the table has their types, and each statement is built from both.
"""

from sqlalchemy.dialects import postgresql

from zenskar.db.schema.tables import customers
from zenskar.model.fields import CUSTOMER

FIELDS = (*CUSTOMER.plain, *CUSTOMER.keyed)
LISTED = ", ".join(FIELDS)

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
TYPED = ", ".join(f"{name} {customers.c[name].type.compile(_DIALECT)}" for name in FIELDS)
"""The columns with their types, for rows from JSON."""

CLEARED = ", ".join(f"{name} = DEFAULT" for name in FIELDS)
"""The columns without a value, for an erasure."""

ASSIGNED = ", ".join(f"{name} = t.{name}" for name in FIELDS)
"""The columns, set from a row `t`."""
