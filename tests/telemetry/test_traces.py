"""A trace names types and places, never what an error says."""

from zenskar.telemetry.stack_traces import trace


def test_a_trace_names_the_whole_chain_but_no_text() -> None:
    try:
        try:
            {}["canary@example.com"]
        except KeyError as cause:
            raise RuntimeError("sk_live_canary") from cause
    except RuntimeError as error:
        lines = trace(error)
    types = [line for line in lines if not line.startswith(" ")]
    assert types == ["KeyError", "RuntimeError"]
    assert any(__name__.rpartition(".")[2] in line for line in lines)
    assert "canary" not in "".join(lines)
