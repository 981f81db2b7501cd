"""The time of the next attempt after a failure."""

import random
from dataclasses import dataclass

from zenskar.settings import Settings


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    The delay after failed attempt n is a random time between 0 and
    min(`max_seconds`, `base_seconds` * 2^(n - 1)). With the default settings its upper limits are
    1, 2, 4 … 2048 and then 3600 seconds, and attempt 20 is the last: at most 8.1 hours in all,
    4.1 on average. Full jitter keeps clients from retrying in step:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    >>> policy = RetryPolicy(max_attempts=20, base_seconds=1.0, max_seconds=3600.0)
    >>> rng = random.Random()
    >>> 0 <= policy.delay(1, rng) <= 1, 0 <= policy.delay(5, rng) <= 16
    (True, True)
    >>> policy.used_up(19), policy.used_up(20)
    (False, True)
    """

    max_attempts: int
    base_seconds: float
    max_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "RetryPolicy":
        """Return the policy that the settings of a connection describe."""
        return cls(
            settings.retry_max_attempts, settings.retry_base_seconds, settings.retry_max_seconds
        )

    def delay(self, attempts: int, rng: random.Random) -> float:
        """Return the seconds to wait after this many failed attempts."""
        ceiling = min(self.max_seconds, self.base_seconds * 2 ** min(attempts - 1, 30))
        return rng.uniform(0, ceiling)

    def used_up(self, attempts: int) -> bool:
        """Return whether this many attempts leave no further one."""
        return attempts >= self.max_attempts
