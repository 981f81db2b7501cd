"""aiohttp that checks a signature and parses the body, and stores nothing: PORT SECRET."""

import hashlib
import hmac
import sys

import orjson
import uvloop
from aiohttp import web

port, secret = int(sys.argv[1]), sys.argv[2].encode()


async def accept(request: web.Request) -> web.Response:
    """Answer every signed request."""
    body = await request.read()
    parts = dict(item.split("=", 1) for item in request.headers["Stripe-Signature"].split(","))
    signed = parts["t"].encode() + b"." + body
    if not hmac.compare_digest(hmac.new(secret, signed, hashlib.sha256).hexdigest(), parts["v1"]):
        return web.Response(status=400)
    orjson.loads(body)
    return web.Response(body=b'{"accepted":1}', content_type="application/json")


async def live(_request: web.Request) -> web.Response:
    """Answer."""
    return web.Response()


app = web.Application()
app.router.add_post("/webhooks/stripe", accept)
app.router.add_get("/health/live", live)
web.run_app(
    app, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop()
)
