"""The stripe SDK with its httpx client: stripe_sdk.py API_BASE COUNT IN_FLIGHT FIRST.

Prints `ready`, waits for a line, creates the customers, prints the seconds.
"""

import asyncio
import sys
import time

import stripe
import uvloop

base, count, in_flight, first = sys.argv[1], *map(int, sys.argv[2:5])


async def main() -> None:
    """Create customers, so many concurrently."""
    stripe.enable_telemetry = False
    client = stripe.StripeClient(
        "sk_test_benchmark",
        http_client=stripe.HTTPXClient(),
        max_network_retries=0,
        base_addresses={"api": base},
    )
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            await client.v1.customers.create_async(
                {
                    "name": f"Customer {number}",
                    "email": f"c{number}@example.com",
                    "metadata": {"a": "b", "n": str(number), "zenskar_id": f"record-{number}"},
                },
                {"idempotency_key": f"key-{number}"},
            )

    await client.v1.customers.create_async({"name": "warm"}, {"idempotency_key": "warm"})
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    print(time.perf_counter() - began, flush=True)


uvloop.run(main())
