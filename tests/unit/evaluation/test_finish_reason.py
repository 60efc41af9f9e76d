"""A reply that was cut at the most tokens says so, in every system and in files."""

from __future__ import annotations

import json

import pytest

from emotone import systems
from emotone.evaluation.records import read_replies, reply_line
from emotone.types import Decoding, Dialogue, Example

POST = Dialogue.of("i am happy")


@pytest.mark.parametrize("name", [n for n in systems.names() if n != "echo"])
def test_a_reply_says_whether_it_was_cut(name: str):
    responder = systems.module(name).tiny()
    decoding = Decoding(max_tokens=2, min_tokens=2)
    (cut,) = responder.reply([POST], [None], decoding=decoding)
    assert cut.finish_reason == "length"
    whole = responder.reply([POST] * 8, [None] * 8, decoding=Decoding(max_tokens=200))
    assert all((r.finish_reason == "stop") == (r.tokens < 200) for r in whole)


def test_the_reason_is_written_and_read():
    (reply,) = systems.module("echo").tiny().reply([POST], [None], decoding=Decoding())
    line = reply_line(Example("1", POST), reply)
    assert json.loads(line)["finish_reason"] == "stop"
    ((_, again),) = read_replies([line], "x")
    assert again == reply
    older = json.dumps({k: v for k, v in json.loads(line).items() if k != "finish_reason"})
    assert next(read_replies([older], "x"))[1].finish_reason is None
