"""Canonical customers that differ in every field, for checks of translations."""

from collections.abc import Mapping
from typing import Any

_ADDRESS = {
    "line1": "1 Main Road",
    "line2": "Flat 2",
    "city": "Pune",
    "state": "MH",
    "postal_code": "411001",
    "country": "IN",
}
SAMPLES: tuple[Mapping[str, Any], ...] = (
    {},
    {"name": "Ada", "email": "ada@example.com"},
    {
        "name": "Grace Brewster Hopper",
        "email": "grace.hopper+navy@example.com",
        "phone": "+91 20 1234",
        "address": _ADDRESS,
        "metadata": {"plan": "pro", "tier": "gold"},
    },
    {
        "name": "Søren 😀 O'Neil-Smith",
        "email": "søren@example.com",
        "phone": "0",
        "address": {"city": "Århus", "country": "DK"},
        "metadata": {"plan": "free", "a.b/c~d": "x y", "é": "0"},
    },
    {"name": "李 小龍", "phone": "+1-202-555-0100 ext. 7", "address": {"line1": "0"}},
    {"name": "x" * 200, "email": "a@b.example", "metadata": {"k": "v" * 400}},
)
"""Names have words with one space between: external systems differ about other spaces."""
