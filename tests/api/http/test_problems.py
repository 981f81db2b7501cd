"""Errors as answers and as log lines."""

import logging

import pytest
from aiohttp import ClientSession, web

from tests.support.api import app_of, problem_of
from zenskar.api.http.problems import of_http
from zenskar.api.server import serve
from zenskar.catalog.service import StaleVersion
from zenskar.db.idempotency import IdempotencyKeyReused
from zenskar.errors import (
    BadSignature,
    CallFailed,
    Failure,
    FailureKind,
    InvalidInput,
    NotFound,
    SchemaViolation,
    StateConflict,
    Unavailable,
    Violation,
)
from zenskar.settings import load


async def answer_to(error: Exception, status: int) -> dict[str, object]:
    async def fail(_request: web.Request) -> web.Response:
        raise error

    served = serve(app_of("/", fail), "127.0.0.1", 0, load({}))
    async with served as address, ClientSession(address) as client:
        response = await client.get("/")
        assert ("Retry-After" in response.headers) == (status == 503)
        return await problem_of(response, status)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (SchemaViolation("body", [Violation("/a", "is required")]), 422, "schema-violation"),
        (IdempotencyKeyReused("reused"), 422, "idempotency-key-reused"),
        (BadSignature("unsigned"), 400, "bad-signature"),
        (InvalidInput("wrong"), 400, "invalid-input"),
        (NotFound("none"), 404, "not-found"),
        (StaleVersion("old"), 412, "stale-version"),
        (StateConflict("moved"), 409, "conflict"),
        (Unavailable("away"), 503, "unavailable"),
    ],
)
async def test_each_class_has_its_status(error: Exception, status: int, kind: str) -> None:
    problem = await answer_to(error, status)
    assert problem["type"] == f"https://zenskar.dev/problems/{kind}"
    assert problem["detail"] == str(error)
    assert ("errors" in problem) == isinstance(error, SchemaViolation)


async def test_a_failed_call_tells_its_kind_alone() -> None:
    failure = Failure(FailureKind.RATE_LIMITED, "canary@example.com")
    problem = await answer_to(CallFailed(failure), 502)
    assert problem["type"] == "https://zenskar.dev/problems/call-failed"
    assert problem["detail"] == "a call to the external system failed: rate_limited"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("canary@example.com"),
        CallFailed(Failure(FailureKind.BUG, "canary@example.com")),
        TimeoutError("canary@example.com"),
    ],
)
async def test_the_unexpected_tells_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    error.__cause__ = ValueError("canary-cause")
    problem = await answer_to(error, 500)
    assert "canary" not in str(problem)
    logged = caplog.text + capsys.readouterr().out
    assert "canary-cause" not in logged.replace('ValueError("canary-cause")', "")
    assert "canary@example.com" not in logged
    assert type(error).__name__ in logged
    assert "in fail" in logged


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "bad-request"),
        (413, "content-too-large"),
        (414, "uri-too-long"),
        (422, "unprocessable-content"),
        (599, "http-599"),
    ],
)
def test_a_problem_type_is_the_same_on_every_python(status: int, kind: str) -> None:
    problem = of_http(_http_error(status))
    assert problem.kind == kind


def _http_error(status: int) -> web.HTTPException:
    class Refused(web.HTTPException):
        status_code = status

    return Refused()
