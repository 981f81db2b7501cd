"""Call an external system over HTTP: an optional client, its errors and their classification."""

from zenskar.http.addresses import base_address
from zenskar.http.client import Client, ClientLimits
from zenskar.http.credentials import Basic, Bearer, Header
from zenskar.http.http_errors import BadAnswer, HttpAnswer, HttpError, NoAnswer, RenewalFailed
from zenskar.http.retry_hint import machine_code, retry_after
from zenskar.http.status_table import classify

__all__ = [
    "BadAnswer",
    "Basic",
    "Bearer",
    "Client",
    "ClientLimits",
    "Header",
    "HttpAnswer",
    "HttpError",
    "NoAnswer",
    "RenewalFailed",
    "base_address",
    "classify",
    "machine_code",
    "retry_after",
]
