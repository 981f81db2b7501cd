"""Alerts reach a webhook or a mailbox, name no text from outside, and hold nothing up."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import pytest

from tests.support.flow import open_flow
from tests.support.wait import until
from zenskar.db.connections import PAUSED_BY_OPERATOR
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import ConfigurationError, Unavailable
from zenskar.model.notices import ConnectionPaused, DeadLetterAdded
from zenskar.ops.alerting.alert_targets import target
from zenskar.ops.alerting.alerts import AlertPlugin
from zenskar.settings import load
from zenskar.sync import announcements

SECONDS = 30


class HookServer(HTTPServer):
    """A webhook that keeps what it receives."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.received: Queue[tuple[str, dict[str, str], Any]] = Queue()
        super().__init__(("127.0.0.1", 0), _HookHandler)


class _HookHandler(BaseHTTPRequestHandler):
    server: HookServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.put((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class MailServer(socketserver.TCPServer):
    """A mail server that keeps the commands and the lines that it receives."""

    def __init__(self) -> None:
        self.lines: Queue[str] = Queue()
        super().__init__(("127.0.0.1", 0), _MailHandler)


class _MailHandler(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._answer("220 mail")
        in_mail = False
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            self.server.lines.put(line)
            if in_mail:
                in_mail = line != "."
                if not in_mail:
                    self._answer("250 kept")
            elif line.upper().startswith("DATA"):
                in_mail = True
                self._answer("354 go on")
            elif line.upper().startswith("QUIT"):
                self._answer("221 bye")
                return
            else:
                self._answer("250 fine")

    def _answer(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def running(server: socketserver.TCPServer) -> Iterator[str]:
    """Serve in a thread, and yield the host and the port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_pause_reaches_the_webhook_of_the_setting(database_url: str) -> None:
    hook = HookServer(204)
    with running(hook) as place:
        url = f"http://me:p%40ss@{place}/hooks/1?channel=ops"
        async with open_flow(database_url, working=False, alert_url=url) as flow:
            broadcaster = flow.runtime.context.broadcaster

            async def pause(reason: str) -> None:
                async def change(db: Any) -> None:
                    await announcements.resume(db, broadcaster, "fake")
                    await announcements.pause(db, broadcaster, "fake", reason)

                await in_transaction(flow.runtime.engine, change)

            await pause(PAUSED_BY_OPERATOR)
            await pause("delete_guard")

            async def received() -> bool:
                return not hook.received.empty()

            await until(received, SECONDS)
            path, headers, body = hook.received.get(timeout=SECONDS)
    assert path == "/hooks/1?channel=ops"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert body.pop("at")
    assert body == {
        "alert": "connection_paused",
        "source": "fake",
        "reason": "delete_guard",
        "text": "zenskar: the delete guard holds back the deletes of the connection fake",
    }
    assert hook.received.empty()


def test_a_burst_of_dead_letters_is_one_alert_and_a_number() -> None:
    sent: list[Any] = []
    now = [0.0]
    alerts = AlertPlugin(sent.append, ["crm"], lambda: now[0])
    for number in range(5):
        alerts.dead_letter_added(DeadLetterAdded("crm", f"event-{number}", "rejected", None))
    alerts.dead_letter_added(DeadLetterAdded("ada@example.com", "event-9", None, "unreadable"))
    now[0] += 301
    alerts.dead_letter_added(DeadLetterAdded("crm", "event-5", "rejected", None))
    assert [(each["source"], each["kind"], each["count"]) for each in sent] == [
        ("crm", "rejected", 1),
        ("unreadable", "unreadable", 1),
        ("crm", "rejected", 5),
    ]
    assert sent[-1]["text"] == "zenskar: 5 dead letters of the connection crm (rejected)"
    assert "example.com" not in str(sent)


@pytest.mark.parametrize("status", [302, 500])
def test_an_answer_that_is_no_success_is_a_failure(status: int) -> None:
    with running(HookServer(status)) as place:
        alerts = AlertPlugin(target(f"http://{place}"), ["crm"])
        with pytest.raises(Unavailable, match=str(status)):
            alerts.connection_paused(ConnectionPaused("crm", "credentials"))


def test_a_mail_has_the_text_as_its_subject() -> None:
    server = MailServer()
    with running(server) as place:
        url = f"smtp://{place}/?to=ops@example.com,night@example.com&from=zenskar@example.com"
        AlertPlugin(target(url), ["crm"]).connection_paused(ConnectionPaused("crm", "outage"))
    lines = list(server.lines.queue)
    assert "Subject: zenskar: the connection crm is paused (outage)" in lines
    recipients = [line for line in lines if line.lower().startswith("rcpt to")]
    assert [r.split("<")[1].split(">")[0] for r in recipients] == [
        "ops@example.com",
        "night@example.com",
    ]
    assert "reason: outage" in lines


def test_no_password_is_sent_without_encryption() -> None:
    server = MailServer()
    with running(server) as place:
        alerts = AlertPlugin(target(f"smtp://me:T0KEN@{place}/?to=ops@example.com"), ["crm"])
        with pytest.raises(Unavailable, match="no TLS"):
            alerts.connection_paused(ConnectionPaused("crm", "outage"))
    assert not any("AUTH" in line.upper() for line in server.lines.queue)


@pytest.mark.parametrize(
    "url",
    ["ftp://x/T0KEN", "https://", "smtp://mail.example.com/T0KEN", "https://x:0/T0KEN", "T0KEN"],
)
def test_a_wrong_address_stops_the_start_without_its_text(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load({}, alert_url=url)
    assert "ZENSKAR_ALERT_URL: must be" in str(refused.value)
    assert "T0KEN" not in str(refused.value)


def test_a_password_of_a_webhook_goes_to_another_machine_with_tls_only() -> None:
    with pytest.raises(ConfigurationError, match="without TLS") as refused:
        load({}, alert_url="http://me:T0KEN@alerts.example.com/zenskar")
    assert "T0KEN" not in str(refused.value)
    for allowed in ("https://me:T0KEN@alerts.example.com/", "http://me:T0KEN@127.0.0.1:9093/"):
        assert load({}, alert_url=allowed).alert_url
