"""The API's routes: from a method, a path and a form to an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .customer_params import CREATE, DELETE, EVENTS, LIST, RETRIEVE, SEARCH, UPDATE
from .errors import unrecognized_url
from .expand import expanded, expanded_page, unexpandable
from .params import read_params

if TYPE_CHECKING:
    from zenskar.http.lookalike import Record

    from .catalog import Catalog
    from .events import EventLog, Origin
    from .forms import Tree


class Routes:
    """Executes requests after the checks of keys and faults."""

    def __init__(self, account: str, catalog: Catalog, events: EventLog) -> None:
        self._account = account
        self._catalog = catalog
        self._events = events

    def execute(self, method: str, path: str, form: Tree, origin: Origin) -> Record:
        """Return the object of the answer. Raises `ApiError` for a refused request."""
        match method, path.split("/")[1:]:
            case "POST" | "GET", ["v1", "customers"]:
                return self._customers(method, form, origin)
            case "GET", ["v1", "customers", "search"]:
                return self._search(form)
            case "POST" | "GET" | "DELETE", ["v1", "customers", str(identifier)] if identifier:
                return self._customer(method, identifier, form, origin)
            case "GET", ["v1", "account"]:
                _refuse_expansions(read_params(RETRIEVE, form))
                return {"id": self._account, "object": "account"}
            case "GET", ["v1", "events"]:
                return self._list_events(form)
            case "GET", ["v1", "events", str(identifier)] if identifier:
                _refuse_expansions(read_params(RETRIEVE, form))
                return self._events.retrieve(identifier)
            case _:
                raise unrecognized_url(method, path)

    def _customers(self, method: str, form: Tree, origin: Origin) -> Record:
        if method == "POST":
            params = read_params(CREATE, form)
            _check_expansions(params)
            return expanded(self._catalog.create(params, origin), params.get("expand", ()))
        params = read_params(LIST, form)
        return expanded_page(self._catalog.list(params), params.get("expand", ()))

    def _customer(self, method: str, identifier: str, form: Tree, origin: Origin) -> Record:
        if method == "DELETE":
            read_params(DELETE, form)
            return self._catalog.delete(identifier, origin)
        params = read_params(UPDATE if method == "POST" else RETRIEVE, form)
        _check_expansions(params)
        if method == "POST":
            customer = self._catalog.update(identifier, params, origin)
        else:
            customer = self._catalog.retrieve(identifier)
        return customer if "deleted" in customer else expanded(customer, params.get("expand", ()))

    def _search(self, form: Tree) -> Record:
        params = read_params(SEARCH, form)
        wanted = [path for path in params.get("expand", ()) if path != "total_count"]
        return expanded_page(self._catalog.search(params), wanted)

    def _list_events(self, form: Tree) -> Record:
        params = read_params(EVENTS, form)
        _refuse_expansions(params)
        return self._events.list(params)


def _check_expansions(params: Record) -> None:
    # Before the effect: a refused request must not change anything.
    expanded({"id": ""}, params.get("expand", ()))


def _refuse_expansions(params: Record) -> None:
    if paths := params.get("expand"):
        raise unexpandable(paths[0])
