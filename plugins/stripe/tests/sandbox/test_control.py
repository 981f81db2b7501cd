"""The control surface over HTTP."""

import pytest

from zenskar_stripe.sandbox import StripeSandbox


async def test_dashboard_edits(control, v1):
    status, customer = await control(
        "POST", "customers", {"name": "Ada", "address": {"city": "Oslo"}, "metadata": {"a": "1"}}
    )
    assert status == 201
    path = f"customers/{customer['id']}"
    edit = {"address": None, "metadata": {"a": None, "b": 2}, "preferred_locales": ["nb"]}
    status, updated = await control("POST", path, edit)
    assert (status, updated["name"], updated["address"]) == (200, "Ada", None)
    assert (updated["metadata"], updated["preferred_locales"]) == ({"b": "2"}, ["nb"])
    assert (await v1.customers.retrieve_async(customer["id"])).to_dict() == updated
    assert (await control("DELETE", path))[1]["deleted"] is True
    status, body = await control("POST", path, {"name": "x"})
    assert (status, body["error"]["code"]) == (404, "resource_missing")


async def test_webhook_endpoints(control, hooks, sandbox):
    hook = await hooks()
    body = {"url": hook.url, "secret": hook.secret, "events": ["customer.created"]}
    status, endpoint = await control("POST", "webhook_endpoints", body)
    assert status == 201
    assert endpoint == {"id": endpoint["id"], "url": hook.url, "events": ["customer.created"]}
    assert (await control("GET", "webhook_endpoints"))[1] == {"data": [endpoint]}
    await control("POST", "customers", {"name": "x"})
    assert (await control("POST", "settle", {"timeout_seconds": 5}))[1] == {"settled": True}
    assert hook.receiver.names == ["x"]
    assert (await control("DELETE", f"webhook_endpoints/{endpoint['id']}"))[0] == 200
    assert (await control("DELETE", f"webhook_endpoints/{endpoint['id']}"))[0] == 404
    await control("POST", "webhook_endpoints", {"url": hook.url, "secret": "s"})
    assert (await control("DELETE", "webhook_endpoints"))[0] == 200
    assert sandbox.webhook_endpoints() == []


async def test_faults(control, call):
    body = {"kind": "rate_limited", "method": "get", "retry_after": 3, "count": 2}
    status, fault = await control("POST", "faults", body)
    assert status == 201
    status, _, headers = await call("GET", "/v1/customers")
    assert (status, headers["Retry-After"]) == (429, "3")
    (listed,) = (await control("GET", "faults"))[1]["data"]
    assert listed == {
        "id": fault["id"], "kind": "rate_limited", "method": "GET", "path_prefix": "",
        "retry_after": 3, "reason": "global-rate", "count": 2, "probability": None, "seed": 0,
        "hits": 1,
    }  # fmt: skip
    assert (await control("DELETE", f"faults/{fault['id']}"))[0] == 200
    assert (await control("DELETE", f"faults/{fault['id']}"))[0] == 404
    await control("POST", "faults", {"kind": "truncate", "mode": "html"})
    assert (await control("DELETE", "faults"))[0] == 200
    assert (await control("GET", "faults"))[1] == {"data": []}
    assert (await call("GET", "/v1/customers"))[0] == 200


async def test_every_kind_is_accepted(control):
    options = {
        "rate_limited": {"reason": "global-concurrency"},
        "server_error": {"effect": True},
        "drop_answer": {},
        "drop_request": {"path_prefix": "/v1/events"},
        "zombie": {"delay_seconds": 0.5},
        "truncate": {"mode": "cut"},
        "delay": {"delay_seconds": 1},
        "webhook_delay": {"delay_seconds": 1, "event_type": "customer.created"},
        "webhook_duplicate": {"copies": 3},
        "webhook_reorder": {"size": 3},
        "webhook_drop": {"attempts": 2},
    }
    for kind, extra in options.items():
        body = {"kind": kind, "probability": 0.5, "seed": 7, "count": None, **extra}
        assert (await control("POST", "faults", body))[0] == 201


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("faults", {}, "kind is missing"),
        ("faults", {"kind": "fire"}, "kind must be one of rate_limited, "),
        ("faults", {"kind": []}, "kind must be one of"),
        ("faults", {"kind": "delay", "second": 1}, "unknown members: second"),
        ("faults", {"kind": "delay", "delay_seconds": "1"}, "delay_seconds must be of type"),
        ("faults", {"kind": "delay", "delay_seconds": -1}, "delay_seconds must be"),
        ("faults", {"kind": "delay", "count": True}, "count must be of type int"),
        ("faults", {"kind": "delay", "count": 0}, "count must be at least 1"),
        ("faults", {"kind": "delay", "seed": None}, "seed must be of type int"),
        ("faults", {"kind": "delay", "copies": 3}, "copies does not apply to delay"),
        ("faults", {"kind": "delay", "probability": 2}, "probability must be"),
        ("faults", {"kind": "truncate", "mode": "odd"}, "mode must be one of cut, "),
        ("faults", {"kind": "webhook_drop", "method": "GET"}, "method does not apply"),
        ("faults", {"kind": "webhook_drop", "event_type": "customer.*"}, "event_type"),
        ("faults", [], "must be a JSON object"),
        ("webhook_endpoints", {"url": "http://[::1]"}, "url and secret must be strings"),
        ("webhook_endpoints", {"url": "ftp://x", "secret": "s"}, "url must be"),
        ("webhook_endpoints", {"url": "http://[", "secret": "s"}, "url must be"),
        (
            "webhook_endpoints",
            {"url": "http://[::1]", "secret": ""},
            "secret must not be empty",
        ),
        (
            "webhook_endpoints",
            {"url": "http://[::1]", "secret": "s", "events": "*"},
            "events must be",
        ),
        (
            "webhook_endpoints",
            {"url": "http://[::1]", "secret": "s", "events": []},
            "events must",
        ),
        (
            "webhook_endpoints",
            {"url": "http://[::1]", "secret": "s", "events": ["a"]},
            "unknown event",
        ),
        ("webhook_endpoints", {"address": "http://x"}, "unknown members: address"),
        ("settle", {"timeout_seconds": "soon"}, "timeout_seconds must be"),
        ("settle", {"timeout_seconds": -1}, "timeout_seconds must be"),
        ("customers", {"nme": "x"}, "Received unknown parameter: nme"),
        ("customers", {"email": "nobody"}, "Invalid email address"),
        ("customers", "x", "must be a JSON object"),
    ],
)
async def test_bad_input(control, path, body, message):
    status, answer = await control("POST", path, body)
    assert status == 400
    assert message in answer["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 5000, b'{"name": "\\ud800"}', b"NaN"])
async def test_input_that_is_no_json(sandbox, http, body):
    kind = {"Content-Type": "application/json"}
    async with http.post(
        f"{sandbox.base_url}/_sandbox/customers", data=body, headers=kind
    ) as answer:
        assert answer.status == 400
        assert "not JSON" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(("method", "path"), [("GET", "unicorns"), ("PUT", "faults"), ("GET", "")])
async def test_unknown_controls(control, method, path):
    status, body = await control(method, path)
    assert status == 404
    assert body["error"]["message"].startswith("no such control")


async def test_the_log_of_requests(control, call):
    await call("POST", "/v1/customers", {"email": "canary@example.com"}, Idempotency_Key="k")
    await call("POST", "/v1/customers", {"email": "canary@example.com"}, Idempotency_Key="k")
    await control("POST", "faults", {"kind": "rate_limited"})
    await call("GET", "/v1/customers?email=canary@example.com")
    status, body = await control("GET", "requests")
    assert status == 200
    found = [
        (each["method"], each["path"], each["idempotency_key"], each["status"], each["fault"])
        for each in body["data"]
    ]
    assert found == [
        ("POST", "/v1/customers", "k", 200, None),
        ("POST", "/v1/customers", "k", 200, None),
        ("GET", "/v1/customers", None, 429, "rate_limited"),
    ]
    assert [each["replayed"] for each in body["data"]] == [False, True, False]
    assert "canary" not in str(body)


async def test_the_log_of_deliveries(control, hook):
    await control("POST", "customers", {"name": "canary"})
    await control("POST", "settle")
    (delivery,) = (await control("GET", "deliveries"))[1]["data"]
    assert (delivery["type"], delivery["status"]) == ("customer.created", 200)
    assert delivery["url"] == hook.url
    assert "canary" not in str(delivery)


async def test_settle_gives_up(control, sandbox):
    sandbox.add_webhook_endpoint("http://127.0.0.1:1/hook", "whsec_x")
    await control("POST", "customers", {})
    status, body = await control("POST", "settle", {"timeout_seconds": 0.05})
    assert status == 504
    assert body["error"]["message"] == "1 deliveries or delayed effects are still pending"


async def test_data_can_be_cleared(control, sandbox, v1, hook):
    hook.receiver.answers.extend([500] * 20)
    options = {"idempotency_key": "k"}
    first = await v1.customers.create_async({"email": "a@example.com"}, options)
    await hook.receiver.wait_for(1)
    assert (await control("DELETE", "data"))[0] == 200
    await sandbox.settle(1)
    assert (await v1.customers.list_async()).data == []
    assert (await v1.events.list_async()).data == []
    assert (await v1.events.list_async({"delivery_success": False})).data == []
    assert (await v1.customers.search_async({"query": "created>0"})).data == []
    assert len(sandbox.webhook_endpoints()) == 1
    again = await v1.customers.create_async({"email": "a@example.com"}, options)
    assert again.id != first.id


async def test_peers_from_elsewhere_are_refused(sandbox, monkeypatch, control):
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "192.0.2.1")
    status, body = await control("GET", "faults")
    assert status == 403
    assert "this machine only" in body["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:{port}"}, 403),
        ({"Host": "localhost"}, 403),
        ({"Host": "localhost:1"}, 403),
        ({"Host": "localhost.evil.example:{port}"}, 403),
        ({"Host": "evil@localhost:{port}"}, 403),
        ({"Host": "[::1:{port}"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Host": "localhost:{port}"}, 201),
        ({"Host": "[::1]:{port}"}, 201),
        ({"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 201),
    ],
)
async def test_pages_of_other_sites_are_refused(sandbox, http, headers, status):
    port = sandbox.base_url.rpartition(":")[2]
    sent = {"Content-Type": "application/json"} | {
        name: value.replace("{port}", port) for name, value in headers.items()
    }
    url = f"{sandbox.base_url}/_sandbox/customers"
    async with http.post(url, data=b"{}", headers=sent) as answer:
        assert answer.status == status
        assert (await answer.json()) is not None
    assert len(sandbox.dashboard.living()) == (status == 201)


async def test_no_other_site_reads_the_api(sandbox, http):
    key = {"Authorization": f"Bearer {sandbox.api_key}"}
    for host, status in (("evil.example", 403), (None, 200)):
        sent = key | ({"Host": host} if host else {})
        async with http.get(f"{sandbox.base_url}/v1/customers", headers=sent) as answer:
            assert answer.status == status


@pytest.mark.parametrize(
    "url",
    ["http://evil.example/hook", "https://10.0.0.1/", "http://127.0.0.1.nip.io/", "http://0.0.0.0/",
     "http://localhost@evil.example/", "http://[::ffff:1.2.3.4]/"],
)  # fmt: skip
async def test_webhooks_stay_on_this_machine_unless_allowed(control, http, url):
    body = {"url": url, "secret": "whsec_1"}
    status, answer = await control("POST", "webhook_endpoints", body)
    assert status == 400
    assert "must lead to this machine" in answer["error"]["message"]
    async with StripeSandbox(remote_webhooks=True) as open_one:
        target = f"{open_one.base_url}/_sandbox/webhook_endpoints"
        async with http.post(target, json=body) as added:
            assert added.status == 201


async def test_the_clock_can_be_set(control, sandbox):
    before = sandbox.dashboard.create({"name": "Ada"})["created"]
    assert (await control("POST", "clock", {"shift_seconds": -3600}))[0] == 200
    assert abs(sandbox.dashboard.create({"name": "Eve"})["created"] + 3600 - before) < 60
    for wrong in ({}, {"shift_seconds": "1"}, {"shift_seconds": True}, {"shift_seconds": 1e12}):
        assert (await control("POST", "clock", wrong))[0] == 400
    assert (await control("POST", "clock", {"shift_seconds": 0}))[1] == {"shift_seconds": 0}
