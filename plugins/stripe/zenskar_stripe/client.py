"""Call Stripe through its official SDK."""

import logging
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import stripe

from zenskar import http_date
from zenskar_stripe.budget import Budget
from zenskar_stripe.config import Config
from zenskar_stripe.failures import UnreadableAnswer

API_VERSION = "2026-10-28.endive"
_CUSTOMERS = "/v1/customers"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of Stripe, and the second of Stripe's clock.

    `replayed`: Stripe served the answer from its idempotency cache.
    """

    data: dict[str, Any] = field(repr=False)
    replayed: bool = False
    at: int | None = None

    @property
    def items(self) -> list[Any]:
        """Return the items of a list or of a search result, of which any may be unreadable."""
        found = self.data.get("data")
        if not isinstance(found, list):
            raise UnreadableAnswer("the answer is no list")
        return found

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Return the objects of a list of which every item must be readable."""
        if not all(isinstance(each, dict) for each in self.items):
            raise UnreadableAnswer("the answer is no list of objects")
        return self.items

    @property
    def has_more(self) -> bool:
        """Return whether the list has another page."""
        return bool(self.data.get("has_more"))


class StripeApi:
    """The endpoints of Stripe that the integration uses; must be built inside a running loop.

    The SDK makes every call once: the core decides about retries. Each method raises the errors of
    the SDK, `UnreadableAnswer` or `NoTurn`.
    """

    def __init__(self, config: Config) -> None:
        _quieten_sdk()
        self._session = aiohttp.ClientSession(middlewares=(_refuse_redirects,))
        timeout = aiohttp.ClientTimeout(total=config.timeout_seconds)
        self._client = stripe.StripeClient(
            config.api_key,
            http_client=stripe.AIOHTTPClient(session=self._session, timeout=timeout),
            stripe_version=API_VERSION,
            max_network_retries=0,
            base_addresses={"api": config.api_base},
        )
        self._budget = Budget(config.rate, config.endpoint_rate)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def retrieve_account(self) -> Answer:
        """Return the account of the key: https://docs.stripe.com/api/accounts/retrieve."""
        return await self._answer("account", "get", "/v1/account")

    async def create_customer(self, params: Any, idempotency_key: str) -> Answer:
        """Create a customer: https://docs.stripe.com/api/customers/create."""
        return await self._answer("create", "post", _CUSTOMERS, params, idempotency_key)

    async def update_customer(self, external_id: str, params: Any, key: str) -> Answer:
        """Update a customer: https://docs.stripe.com/api/customers/update."""
        return await self._answer("update", "post", _customer(external_id), params, key)

    async def delete_customer(self, external_id: str) -> Answer:
        """Delete a customer, without a key: https://docs.stripe.com/api/customers/delete."""
        return await self._answer("delete", "delete", _customer(external_id))

    async def retrieve_customer(self, external_id: str) -> Answer:
        """Return a customer, or a deleted one's stub: https://docs.stripe.com/api/customers/retrieve."""
        return await self._answer("retrieve", "get", _customer(external_id))

    async def list_customers(self, params: Any) -> Answer:
        """Return living customers, newest first: https://docs.stripe.com/api/customers/list."""
        return await self._answer("list", "get", _CUSTOMERS, params)

    async def search_customers(self, query: str) -> Answer:
        """Search customers, with a lag: https://docs.stripe.com/api/customers/search.

        Some regions have no search.
        """
        return await self._answer("search", "get", f"{_CUSTOMERS}/search", {"query": query})

    async def list_events(self, params: Any) -> Answer:
        """Return the last 30 days' events, newest first: https://docs.stripe.com/api/events/list."""
        return await self._answer("events", "get", "/v1/events", params)

    async def _answer(
        self, endpoint: str, method: str, path: str, params: Any = None, key: str | None = None
    ) -> Answer:
        """Make a call and return its answer as JSON.

        The SDK's objects would have to be converted back to dictionaries, which costs more than the
        rest of a call.
        """
        options = {} if key is None else {"idempotency_key": key}
        await self._budget.spend(endpoint)
        try:
            return _read(
                await self._client.raw_request_async(method, path, **(params or {}), **options)
            )
        except (stripe.StripeError, aiohttp.ClientError, OSError, UnreadableAnswer):
            raise
        except Exception as error:
            # The SDK raises errors of many kinds for JSON of another shape.
            raise UnreadableAnswer(f"{type(error).__name__} in the SDK") from error


def _customer(external_id: str) -> str:
    return f"{_CUSTOMERS}/{quote(external_id, safe='')}"


def _read(answered: stripe.StripeResponse) -> Answer:
    if not isinstance(answered.data, dict):
        raise UnreadableAnswer("the answer is no object")
    headers = answered.headers
    replayed = headers.get("Idempotent-Replayed") == "true"
    return Answer(answered.data, replayed, http_date(headers.get("Date")))


def _quieten_sdk() -> None:
    # The SDK logs the texts of errors, which repeat customer data. Its telemetry writes a file into
    # the home directory.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    stripe.enable_telemetry = False


async def _refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # Stripe never redirects a call; a redirect would send the request to an unconfigured address.
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise aiohttp.ClientConnectionError(f"refused a redirect ({response.status})")
    return response
