"""`zenskar doctor`."""

import asyncio
from dataclasses import asdict

import typer

from zenskar.cli import session
from zenskar.cli.render.output import Output, OutputOption, print_json, print_table

_COLUMNS = {"part": "PART", "verdict": "IS", "detail": "DETAIL", "fix": "FIX"}


def doctor(output: OutputOption = Output.TABLE) -> None:
    """Check every part, and show a fix for each failure. The exit code is 1 after a failure."""
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    from zenskar.cli.doctor.checks import Checkup
    from zenskar.cli.doctor.result import CheckResult

    findings = asyncio.run(Checkup.of(settings, environment).run())
    failed = any(finding.verdict is CheckResult.FAILED for finding in findings)
    rows = [asdict(finding) for finding in findings]
    if output is Output.JSON:
        print_json({"ok": not failed, "checks": rows})
    else:
        print_table(_COLUMNS, rows)
    raise typer.Exit(int(failed))
