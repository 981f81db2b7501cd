"""Calls to Stripe through its official SDK."""

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
    """What Stripe answered, and in which second of its clock.

    `replayed`: it was served from the idempotency cache.
    """

    data: dict[str, Any] = field(repr=False)
    replayed: bool = False
    at: int | None = None

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects of a list or of a search result."""
        found = self.data.get("data")
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise UnreadableAnswer("the answer is no list of objects")
        return found

    @property
    def has_more(self) -> bool:
        """Whether the list goes on."""
        return bool(self.data.get("has_more"))


class StripeApi:
    """The endpoints that the integration uses; must be built inside a running loop.

    Every call is made once: repeating it is decided by the core, not by the SDK.
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
        """https://docs.stripe.com/api/accounts/retrieve: the account of the key."""
        return await self._answer("account", "get", "/v1/account")

    async def create_customer(self, params: Any, idempotency_key: str) -> Answer:
        """https://docs.stripe.com/api/customers/create."""
        return await self._answer("create", "post", _CUSTOMERS, params, idempotency_key)

    async def update_customer(self, external_id: str, params: Any, key: str) -> Answer:
        """https://docs.stripe.com/api/customers/update."""
        return await self._answer("update", "post", _customer(external_id), params, key)

    async def delete_customer(self, external_id: str) -> Answer:
        """https://docs.stripe.com/api/customers/delete; DELETE takes no idempotency key."""
        return await self._answer("delete", "delete", _customer(external_id))

    async def retrieve_customer(self, external_id: str) -> Answer:
        """https://docs.stripe.com/api/customers/retrieve; a deleted one is a stub."""
        return await self._answer("retrieve", "get", _customer(external_id))

    async def list_customers(self, params: Any) -> Answer:
        """https://docs.stripe.com/api/customers/list: newest first, without the deleted ones."""
        return await self._answer("list", "get", _CUSTOMERS, params)

    async def search_customers(self, query: str) -> Answer:
        """https://docs.stripe.com/api/customers/search: late, and not in every region."""
        return await self._answer("search", "get", f"{_CUSTOMERS}/search", {"query": query})

    async def list_events(self, params: Any) -> Answer:
        """https://docs.stripe.com/api/events/list: newest first, of the last 30 days."""
        return await self._answer("events", "get", "/v1/events", params)

    async def _answer(
        self, endpoint: str, method: str, path: str, params: Any = None, key: str | None = None
    ) -> Answer:
        """Make a call whose answer stays the JSON that it is.

        The SDK's objects of it would be turned into dictionaries again at once, and cost more
        than all the rest of a call.
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
            # The SDK stumbles over JSON of another shape in ways of its own.
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
    # The SDK logs the text of errors, which repeats what a customer was given, and for its
    # telemetry it writes a file into the home directory.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    stripe.enable_telemetry = False


async def _refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # Stripe never redirects a call; following would take the request to an address nobody set.
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise aiohttp.ClientConnectionError(f"refused a redirect ({response.status})")
    return response
