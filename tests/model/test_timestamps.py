"""Times as texts: those of the API end in Z, and a message knows how long it has waited."""

from datetime import UTC, datetime

from zenskar.model.timestamps import timestamp, utc_now, waited


def test_the_api_shows_times_in_utc() -> None:
    assert timestamp(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02T03:04:05.000006Z"


def test_a_message_has_waited_since_it_was_made() -> None:
    made, second = "2026-01-02T03:04:05+00:00", 1_000_000
    assert waited(made, "2026-01-02T03:04:07+00:00") == 2 * second
    assert waited("2026-01-02T04:04:05+01:00", made) == 0


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert waited(utc_now(), "2026-01-01T00:00:00+00:00") == 0
