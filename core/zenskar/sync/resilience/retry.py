"""When to try again."""

import random
from dataclasses import dataclass

from zenskar.settings import Settings


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter; seconds."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "RetryPolicy":
        """Take the policy from the settings."""
        return cls(
            settings.retry_max_attempts, settings.retry_base_seconds, settings.retry_max_seconds
        )

    def delay(self, attempts: int, rng: random.Random) -> float:
        """Return how long to wait after this many failed attempts."""
        ceiling = min(self.max_seconds, self.base_seconds * 2 ** min(attempts - 1, 30))
        return rng.uniform(0, ceiling)

    def used_up(self, attempts: int) -> bool:
        """Tell whether there is no further attempt."""
        return attempts >= self.max_attempts
