"""The token of a webhook, right and wrong."""

from typing import Any

import pytest

from zenskar.errors import BadSignature
from zenskar.webhooks import verify_token

TOKEN = "s3cret"


@pytest.mark.parametrize("known", [TOKEN, TOKEN.encode(), ("old", TOKEN), [TOKEN, ""]])
def test_a_token_that_is_known(known: Any) -> None:
    verify_token(known, TOKEN)


@pytest.mark.parametrize(
    "given", [None, "", "s", "s3cre", f"{TOKEN} ", "S3CRET", "é", "\udcff", "\0", "x" * 1_000_000]
)
@pytest.mark.parametrize("known", [TOKEN, "", (), ("", b""), ("other", TOKEN)])
def test_any_other_token_is_refused(known: Any, given: str | None) -> None:
    with pytest.raises(BadSignature, match="missing or wrong") as refused:
        verify_token(known, given)
    assert not given or len(given) < 4 or given not in str(refused.value)
