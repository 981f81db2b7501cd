"""`zenskar audit`."""

from tests.cli.conftest import Cli


def test_actions_of_the_command_line_are_listed_with_their_reason(cli: Cli, database: str) -> None:
    made = cli.json("keys", "create", "ci", "--reason", "for the pipeline")
    cli("keys", "revoke", made["prefix"])
    revoked, created = cli.json("audit", "list")["data"]
    assert (created["action"], created["reason"]) == ("create_key", "for the pipeline")
    assert (revoked["action"], revoked["target"]) == ("revoke_key", made["prefix"])
    assert created["place"].startswith("the command line on ")
    assert made["key"] not in str([revoked, created])
    assert "for the pipeline" in cli("audit", "list", "--action", "create_key")
    assert cli("audit", "list", "--before", created["id"]).strip() == "There is no such action."
    assert "reason must be one line" in cli("keys", "create", "x", "--reason", "a\nb", code=1)
