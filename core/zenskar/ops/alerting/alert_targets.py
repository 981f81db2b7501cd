"""Deliver an alert to a webhook or a mailbox, with the standard library in the calling thread."""

import http.client
import json
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from zenskar.errors import Unavailable

_SECONDS = 4.0
"""Below the time limit of a broadcast hook."""


def target(url: str) -> Callable[[Mapping[str, Any]], None]:
    """Return the function that delivers an alert to the address of a checked setting."""
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"}:
        return lambda alert: _post(parts, alert)
    return lambda alert: _mail(parts, alert)


def _post(address: SplitResult, alert: Mapping[str, Any]) -> None:
    """Send an alert as JSON. Raises `Unavailable` unless the answer is 2xx; follows no redirect."""
    secure = address.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=_SECONDS)
    headers = {"Content-Type": "application/json", "User-Agent": "zenskar"}
    if address.username is not None:
        user, password = unquote(address.username), unquote(address.password or "")
        headers["Authorization"] = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
    path = address._replace(scheme="", netloc="", fragment="").geturl() or "/"
    try:
        connection.request("POST", path, json.dumps(alert), headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    if status // 100 != 2:
        raise Unavailable(f"the webhook of alerts has answered {status}")


def _mail(address: SplitResult, alert: Mapping[str, Any]) -> None:
    """Send an alert as a mail, encrypted where the server can.

    Raises `Unavailable` when a password would travel without encryption.
    """
    options, host = parse_qs(address.query), address.hostname or ""
    mail = EmailMessage()
    mail["To"] = ", ".join(options["to"])
    mail["From"] = options.get("from", options["to"])[0]
    mail["Subject"] = alert["text"]
    mail.set_content("\n".join(f"{name}: {value}" for name, value in alert.items()))
    secure = address.scheme == "smtps"
    checked, port = ssl.create_default_context(), address.port or 0
    with (
        smtplib.SMTP_SSL(host, port, timeout=_SECONDS, context=checked)
        if secure
        else smtplib.SMTP(host, port, timeout=_SECONDS)
    ) as server:
        server.ehlo()
        if not secure and server.has_extn("starttls"):
            server.starttls(context=checked)
            secure = True
        if address.username is not None:
            if not secure:
                raise Unavailable("the mail server of alerts has no TLS, so it gets no password")
            server.login(unquote(address.username), unquote(address.password or ""))
        server.send_message(mail)
