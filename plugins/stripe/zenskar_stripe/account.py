"""The account and the mode of an API key."""

import re

import stripe

from zenskar_stripe.client import StripeApi
from zenskar_stripe.config import Config

_ID = re.compile(r"\bacct_[A-Za-z0-9]{1,64}\b")


async def name(api: StripeApi, config: Config) -> str | None:
    """Return `acct_… (live)` or `acct_… (test)`, None when the answer names no account.

    Each mode has its own customers, and only the key shows the mode: the account object does not.
    A restricted key may not read the account, but the refusal names it.
    """
    try:
        text = (await api.retrieve_account()).data.get("id")
    except stripe.PermissionError as error:
        text = str(error.user_message or "")
    except stripe.APIError as error:
        if error.http_status != 404:
            raise
        # Another implementation of the API, without accounts.
        return None
    except stripe.InvalidRequestError:
        return None
    found = _ID.search(text) if isinstance(text, str) else None
    if found is None:
        return None
    mode = {True: " (live)", False: " (test)", None: ""}[config.live]
    return found[0] + mode
