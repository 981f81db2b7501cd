"""JSON that waits in memory needs no more memory than its length."""

import tracemalloc

import orjson

from zenskar.db.driver.json_bytes import json_bytes


def test_json_keeps_no_more_memory_than_it_needs() -> None:
    value = {"verdict": "merged", "changes": {"/name": "Ada"}}
    json_bytes(value)
    tracemalloc.start()
    try:
        kept = [json_bytes(value) for _ in range(100)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [orjson.loads(each) for each in kept] == [value] * 100
    assert held < 100 * 300
