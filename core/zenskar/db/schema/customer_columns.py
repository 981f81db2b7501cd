"""The columns of `customers` that hold the fields of a customer: the model names them, the table
has them, and every statement is made of these.
"""

from collections.abc import Sequence

from sqlalchemy import Text

from zenskar.db.driver.packing import Documents, Texts, document
from zenskar.db.schema.tables import customers
from zenskar.model.fields import CUSTOMER, Document

FIELDS = (*CUSTOMER.plain, *CUSTOMER.keyed)
TEXTS = tuple(name for name in FIELDS if isinstance(customers.c[name].type, Text))
DOCUMENTS = tuple(name for name in FIELDS if name not in TEXTS)
"""Columns of type jsonb."""

LISTED = ", ".join(FIELDS)
VALUES = ", ".join(f"t.{name}" if name in TEXTS else f"CAST(t.{name} AS jsonb)" for name in FIELDS)
"""What `LISTED` is given from a row `t` of texts."""

ASSIGNED = ", ".join(
    f"{name} = t.{name}" if name in TEXTS else f"{name} = CAST(t.{name} AS jsonb)"
    for name in FIELDS
)


def texts(documents: Sequence[Document]) -> Texts:
    """Return the text columns of canonical documents."""
    return {name: [each[name] for each in documents] for name in TEXTS}


def jsons(documents: Sequence[Document]) -> Documents:
    """Return the other columns of canonical documents, as JSON."""
    return {
        name: [None if each[name] is None else document(each[name]) for each in documents]
        for name in DOCUMENTS
    }
