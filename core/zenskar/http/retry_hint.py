"""Read the hints of a refusal: when to call again, and its machine code."""

import re
import time
from typing import Any

from zenskar.model.interval import http_date

_MOST_SECONDS = 86_400.0
_SECONDS = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def retry_after(header: str | None, answered_at: int | None = None) -> float | None:
    """Return the seconds of a `Retry-After` header, at most a day; None when it is not valid.

    The header is a number of seconds, or an HTTP date. A date is compared with the `Date` of the
    same answer, in `answered_at`, because clocks differ.
    """
    header = (header or "").strip()
    if _SECONDS.fullmatch(header):
        return min(float(header), _MOST_SECONDS)
    moment = http_date(header)
    if moment is None:
        return None
    now = time.time() if answered_at is None else answered_at
    return min(max(moment - now, 0.0), _MOST_SECONDS)


def machine_code(value: Any) -> str | None:
    """Return a code of letters, digits, `_`, `.` and `-` as it is; None for any other value.

    A text may repeat a value of the request, so it does not belong into an error.
    """
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None
