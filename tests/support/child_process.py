"""A process of a test, which does not outlive its block."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def child_process(
    *command: str | Path,
    env: Mapping[str, str],
    stdout: int,
    stderr: int | None = None,
    cwd: Path | None = None,
) -> AsyncIterator[Process]:
    """Start a process, and kill it at the end of the block unless it has ended."""
    process = await asyncio.create_subprocess_exec(
        *command, env=env, cwd=cwd, stdout=stdout, stderr=stderr
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
