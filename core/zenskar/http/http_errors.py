"""The answer of a call, and the errors of a call without a success.

HttpError           the status is not a success
├── NoAnswer        no whole answer: the call may have taken effect
├── BadAnswer       an answer that is too large, or no JSON to read; a proxy may have sent it
└── RenewalFailed   the call was not made: its credentials could not be renewed

No text of these errors holds a part of the answer, which often repeats the request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zenskar.http.retry_hint import retry_after
from zenskar.model.interval import http_date


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer: `body` is its JSON, None without a body."""

    status: int
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def answered_at(self) -> int | None:
        """Return the second of the external clock, None without a `Date` header."""
        return http_date(self.headers.get("Date"))


class HttpError(Exception):
    """A call without a success.

    `retry_after` is in seconds. `code` is the machine code that the integration read from the
    answer. The body is in `answer` only.
    """

    def __init__(
        self,
        method: str,
        answer: HttpAnswer | None = None,
        *,
        code: str | None = None,
        problem: str = "",
    ) -> None:
        self.method, self.answer, self.code = method, answer, code
        self.status = answer.status if answer else None
        self.answered_at = answer.answered_at if answer else None
        hint = answer.headers.get("Retry-After") if answer else None
        self.retry_after = retry_after(hint, self.answered_at)
        details = ", ".join(filter(None, (problem, code and f"code {code}")))
        text = f"answered {self.status} to a {method}" if answer else f"did not answer a {method}"
        super().__init__(f"{text} ({details})" if details else text)


class NoAnswer(HttpError):
    """The connection broke or the time was over, so the call may have taken effect."""


class BadAnswer(HttpError):
    """The answer is too large, or no JSON that can be read."""


class RenewalFailed(HttpError):
    """The credentials could not be renewed, so the call was not made."""
