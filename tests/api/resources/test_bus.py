"""`/bus` over HTTP."""

from tests.support.api import Api, body_of, problem_of


async def test_a_message_is_seen_and_ended(api: Api) -> None:
    await api.flow.create()
    found = await body_of(await api.client.get("/bus?limit=5"), 200)
    (message,) = found["oldest"]
    assert [(each["state"], each["count"]) for each in found["outbox"]] == [("due", 1)]
    seen = await body_of(await api.client.get(f"/bus/peek?place={message['place']}"), 200)
    assert (seen["status"], seen["message"]["data"]["document"]["name"]) == ("pending", "(hidden)")
    path = f"/bus/dead-letter?place={message['place']}"
    ended = await body_of(await api.client.post(path, headers={"X-Reason": "INC-7"}), 200)
    letter = await body_of(await api.client.get(f"/dead-letters/{ended['event_id']}"), 200)
    assert (letter["status"], letter["reason"]) == ("dead", "ended_by_operator")
    await problem_of(await api.client.post(path), 404)
    await problem_of(await api.client.get("/bus/peek"), 400)
    await problem_of(await api.client.get("/bus/peek?place=17"), 400)
