"""Customers created over HTTP, which zenskar pushes to a stub of Stripe."""

from collections.abc import Iterator

import orjson


def name(round_number: int, number: int) -> str:
    """Return the name of a customer, by which the stub knows it."""
    return f"Customer {round_number:03d} {number:07d}"


def creates(round_number: int, count: int) -> Iterator[bytes]:
    """Yield a whole HTTP request for each customer."""
    for number in range(count):
        document = {
            "name": name(round_number, number),
            "email": f"c{number}@example.com",
            "metadata": {"a": "b", "n": str(number)},
        }
        body = orjson.dumps(document)
        head = (
            "POST /customers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body
