"""Start, stop, the command line and the pace."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import stripe

from zenskar_stripe.sandbox import Fault, FaultKind, StripeSandbox
from zenskar_stripe.sandbox.__main__ import _sandbox, main, parser

ROOT = Path(__file__).parents[2]


async def test_a_taken_port_is_named(sandbox):
    port = int(sandbox.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: "):
        await StripeSandbox(port=port).start()


async def test_use_before_the_start():
    sandbox = StripeSandbox()
    for use in (
        lambda: sandbox.base_url,
        lambda: sandbox.dashboard,
        lambda: sandbox.add_webhook_endpoint("http://127.0.0.1:1/", "s"),
    ):
        with pytest.raises(RuntimeError, match="not running"):
            use()
    await sandbox.stop()


async def test_ids_repeat_with_the_seed():
    async def made(seed):
        async with StripeSandbox(seed=seed) as sandbox:
            return [sandbox.dashboard.create({})["id"] for _ in range(3)]

    assert await made(1) == await made(1)
    assert await made(1) != await made(2)


async def test_stop_does_not_wait_for_a_delayed_answer(connect, hooks):
    loop, hook = asyncio.get_running_loop(), await hooks()
    async with StripeSandbox() as sandbox:
        sandbox.add_webhook_endpoint(hook.url, hook.secret)
        sandbox.faults.add(Fault(kind=FaultKind.DELAY, delay_seconds=60))
        call = asyncio.create_task(connect(sandbox).customers.create_async({"name": "x"}))
        await hook.receiver.wait_for(1)
        start = loop.time()
    assert loop.time() - start < 1.5
    with pytest.raises(stripe.APIConnectionError):
        await call


async def test_stop_does_not_wait_for_the_background(connect):
    loop = asyncio.get_running_loop()
    async with StripeSandbox(webhook_retry_base=60) as sandbox:
        sandbox.add_webhook_endpoint("http://127.0.0.1:1/", "s")
        sandbox.dashboard.create({})
        sandbox.faults.add(Fault(kind=FaultKind.ZOMBIE, delay_seconds=60))
        with pytest.raises(stripe.APIConnectionError):
            await connect(sandbox).customers.create_async({"name": "x"})
        start = loop.time()
    assert loop.time() - start < 2


async def test_a_create_costs_the_same_however_much_there_is(sandbox):
    def seconds(count):
        began = time.process_time()
        for number in range(count):
            sandbox.dashboard.create({"name": str(number), "metadata": {"n": str(number)}})
        return time.process_time() - began

    seconds(50)
    few = min(seconds(50) for _ in range(5))
    seconds(2000)
    assert min(seconds(50) for _ in range(5)) < 4 * few


async def served(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "zenskar_stripe.sandbox", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_line(tmp_path, hooks, http, number):
    hook = await hooks()
    process = await served(
        "--port", "0", "--store", str(tmp_path / "s.db"), "--webhook", hook.url,
        "--secret", hook.secret, "--api-key", "sk_test_cli",
    )  # fmt: skip
    async with asyncio.timeout(20):
        line = (await process.stdout.readline()).decode()
        assert line.startswith("Stripe sandbox listening on http://127.0.0.1:")
        url = f"{line.split()[-1]}/v1/customers"
        headers = {"Authorization": "Bearer sk_test_cli"}
        async with http.post(url, data={"name": "x"}, headers=headers) as answer:
            assert answer.status == 200
        await hook.receiver.wait_for(1)
        process.send_signal(number)
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_standalone_sandboxes_never_share_an_id():
    async def made():
        async with _sandbox(parser().parse_args(["--port", "0"])) as sandbox:
            return sandbox.dashboard.create({})["id"]

    assert await made() != await made()


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ("--port", "--store", "--webhook", "--secret", "--seed", "--search-lag"):
        assert option in text


@pytest.mark.parametrize("arguments", [["--webhook", "http://x"], ["--port", "many"]])
def test_bad_arguments(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


async def test_a_taken_port_on_the_command_line(sandbox):
    process = await served("--port", sandbox.base_url.rpartition(":")[2])
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert b"error: cannot listen on 127.0.0.1:" in err
    assert b"Traceback" not in err
