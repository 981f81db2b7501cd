"""`zenskar recover`."""

from tests.cli.conftest import Cli

SINCE = ("recover", "--since", "2026-01-01T00:00:00Z")


def test_a_restored_database_is_reported(cli: Cli, database: str) -> None:
    kept = cli.json("keys", "create", "kept")
    cli("keys", "revoke", cli.json("keys", "create", "revoked")["prefix"])
    report = cli.json(*SINCE)
    assert [key["prefix"] for key in report["api_keys"]] == [kept["prefix"]]
    assert (report["deletes_known"], report["deleted_since"], report["paused"]) == (False, [], [])
    assert (report["deleted_again"], cli.json(*SINCE, "--apply")["deleted_again"]) == (False, True)
    shown = cli(*SINCE)
    assert "Deletes since the backup are unknown" in shown
    assert kept["prefix"] in shown


def test_the_time_of_the_backup_is_a_time_that_has_come(cli: Cli, database: str) -> None:
    assert "use a time such as" in cli("recover", "--since", "yesterday", code=1)
    assert "not come yet" in cli("recover", "--since", "2999-01-01", code=1)
