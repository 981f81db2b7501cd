"""State and Country Picklists: codes and texts of an address agree, and come from a list.

https://help.salesforce.com/s/articleView?id=xcloud.admin_state_country_picklists_field_syncing.htm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .problems import Refused, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTRIES: Final = {
    "CA": "Canada",
    "DE": "Germany",
    "GB": "United Kingdom",
    "US": "United States",
}
STATES: Final = {
    "CA": {"ON": "Ontario", "QC": "Quebec"},
    "US": {"CA": "California", "FL": "Florida", "NY": "New York"},
}


def agreed(before: Mapping[str, Any], given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the given values with both forms of country and state. Raises `Refused`."""
    values = dict(given)
    country, state = f"{prefix}Country", f"{prefix}State"
    if not values.keys() & {country, f"{country}Code", state, f"{state}Code"}:
        return values
    code = _settled(values, before, country, COUNTRIES)
    if code is None and f"{state}Code" not in values and state not in values:
        # Without its country, a state is removed too.
        values |= {state: None, f"{state}Code": None}
    if code is None and (values.get(state) or values.get(f"{state}Code")):
        raise _unknown(state, "A country/territory must be specified before specifying a state")
    _settled(values, before, state, STATES.get(code or "", {}))
    return values


def _settled(
    values: dict[str, Any], before: Mapping[str, Any], name: str, known: Mapping[str, str]
) -> str | None:
    """Write both forms of a field into the values, and return its code."""
    by_text = {text.lower(): code for code, text in known.items()}
    text, code = values.get(name), values.get(f"{name}Code")
    if name not in values and f"{name}Code" not in values:
        text, code = before.get(name), before.get(f"{name}Code")
    found = str(code) if code is not None else by_text.get(str(text).lower())
    if found is None and text is None:
        values |= {name: None, f"{name}Code": None}
        return None
    if (
        found is None
        or found not in known
        or (text is not None and by_text.get(str(text).lower()) != found)
    ):
        raise _unknown(name, "There's a problem with this value, even though it may appear correct")
    values |= {name: known[found], f"{name}Code": found}
    return found


def _unknown(name: str, text: str) -> Refused:
    return refused("FIELD_INTEGRITY_EXCEPTION", f"{text}: {name}", name)
