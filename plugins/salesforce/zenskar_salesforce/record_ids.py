"""The two forms of Salesforce's ids: 15 letters with their case, or 18 that need no case."""

import re

ACCOUNT_PREFIX = "001"
CONTACT_PREFIX = "003"
ORG_PREFIX = "00D"

_LONG = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_CHECKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def long_id(text: str) -> str | None:
    """Return an id in its form of 18 characters, None for a text that is no id.

    The last three characters say which of the others are upper case, five letters each:
    https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/field_types.htm.
    """
    if not _LONG.fullmatch(text):
        return None
    case = text[:15]
    made = case + "".join(_check(case[start : start + 5]) for start in (0, 5, 10))
    return made if text in (made, case) else None


def _check(letters: str) -> str:
    return _CHECKS[sum(1 << place for place, letter in enumerate(letters) if letter.isupper())]
