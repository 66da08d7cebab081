"""The benchmarks' own instruments measure what they say."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from bench.common import Goal, Result, histogram
from bench.load import BadAnswer, Http1, Http2
from bench.report import section


def test_http1_counts_whole_answers_however_they_are_cut() -> None:
    answer = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 5\r\n\r\nhello"
    speech = Http1("127.0.0.1:1", "/")
    assert [speech.receive(bytes([byte])) for byte in answer * 2] == ([0] * (len(answer) - 1) + [1]) * 2
    assert speech.receive(answer * 3) == 3
    with pytest.raises(BadAnswer):
        speech.receive(answer.replace(b"200", b"503"))
    with pytest.raises(BadAnswer):
        speech.receive(b"HTTP/1.1 200 OK\r\n\r\n")


@pytest.mark.parametrize(("status", "body"), [("200", b"hello"), ("200", b""), ("503", b"no")])
def test_http2_is_understood_by_a_real_server(status: str, body: bytes) -> None:
    server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    server.initiate_connection()
    speech = Http2("shop.example:81", "/path?a=b", "http")
    events = server.receive_data(speech.hello() + speech.request() + speech.request())
    asked = [event for event in events if isinstance(event, RequestReceived)]
    assert [dict(event.headers)[":path"] for event in asked] == ["/path?a=b"] * 2
    assert dict(asked[0].headers)[":authority"] == "shop.example:81"
    for event in asked:
        head = [(":status", status), ("content-length", str(len(body))), ("x-time", "12")]
        server.send_headers(event.stream_id, head, end_stream=not body)
        if body:
            server.send_data(event.stream_id, body, end_stream=True)
    data = server.data_to_send()
    if status != "200":
        with pytest.raises(BadAnswer):
            speech.receive(data)
        return
    assert sum(speech.receive(data[i : i + 7]) for i in range(0, len(data), 7)) == 2
    server.receive_data(speech.reply())  # the acknowledgement of its settings, or this raises


def test_a_result_says_which_goal_was_missed() -> None:
    result = Result("x", [Goal("a", 3, 3), Goal("b", 0.41, 0.4, least=True), Goal("c", 9.5, 8, "×")], "text")
    assert not result.met
    page = section("x", result.document(quick=True, seconds=1.0))
    assert "| a | 3 | ≤ 3 | yes |" in page
    assert "| b | 0.410 | ≥ 0.400 | yes |" in page
    assert "| c | 9.50 × | ≤ 8 × | **no** |" in page
    assert "with `--quick`" in page
    assert [line.split()[-1] for line in histogram([1, 1, 2, 11], "s", bins=2).splitlines()] == ["3", "1"]
