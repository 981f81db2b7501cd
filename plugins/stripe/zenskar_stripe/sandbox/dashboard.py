"""Edits of a person in Stripe's dashboard: events without a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .customer_params import CREATE, UPDATE
from .errors import invalid
from .events import DASHBOARD
from .forms import Tree, from_json
from .params import read_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zenskar.http.lookalike import Record, Store

    from .catalog import Catalog


class Dashboard:
    """Creates, edits and deletes customers; None unsets a value."""

    def __init__(self, catalog: Catalog, store: Store) -> None:
        self._catalog = catalog
        self._store = store

    def create(self, values: Mapping[str, Any]) -> Record:
        """Create a customer and return it."""
        params = read_params(CREATE, _tree(values))
        with self._store.transaction():
            return self._catalog.create(params, DASHBOARD)

    def update(self, customer: str, values: Mapping[str, Any]) -> Record:
        """Update the given fields and return the customer."""
        params = read_params(UPDATE, _tree(values))
        with self._store.transaction():
            return self._catalog.update(customer, params, DASHBOARD)

    def delete(self, customer: str) -> Record:
        """Delete a customer and return the stub."""
        with self._store.transaction():
            return self._catalog.delete(customer, DASHBOARD)

    def retrieve(self, customer: str) -> Record:
        """Return the present customer, or the stub of a deleted customer."""
        return self._catalog.retrieve(customer)

    def living(self) -> tuple[Record, ...]:
        """Return every customer that is not deleted."""
        return self._catalog.living()


def _tree(values: Mapping[str, Any]) -> Tree:
    tree = from_json(dict(values))
    if isinstance(tree, str):
        raise invalid("A customer must be an object.")
    return tree
