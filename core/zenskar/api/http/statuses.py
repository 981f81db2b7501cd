"""Name the HTTP statuses of the API.

The names are part of the API, because clients compare problem types. The phrases of the standard
library are not used: they differ between Python versions (3.13 adopted those of RFC 9110).
"""

from collections.abc import Mapping
from types import MappingProxyType

TITLES: Mapping[int, str] = MappingProxyType(
    {
        200: "OK",
        201: "Created",
        202: "Accepted",
        204: "No Content",
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        408: "Request Timeout",
        409: "Conflict",
        411: "Length Required",
        412: "Precondition Failed",
        413: "Content Too Large",
        414: "URI Too Long",
        415: "Unsupported Media Type",
        417: "Expectation Failed",
        421: "Misdirected Request",
        422: "Unprocessable Content",
        428: "Precondition Required",
        429: "Too Many Requests",
        431: "Request Header Fields Too Large",
        500: "Internal Server Error",
        501: "Not Implemented",
        502: "Bad Gateway",
        503: "Service Unavailable",
        505: "HTTP Version Not Supported",
    }
)
"""Status to title, as in RFC 9110 and RFC 6585."""


def title(status: int) -> str:
    """Return the title of a status, `HTTP` and its number if it has none."""
    return TITLES.get(status, f"HTTP {status}")


def kind(status: int) -> str:
    """Return the last part of the problem type that belongs to a status."""
    return title(status).lower().replace(" ", "-")
