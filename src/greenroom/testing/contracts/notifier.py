"""What every notifier that posts over HTTP promises, as tests: subclass `NotifierContract` and say how one is made."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event as Flag
from threading import Thread

import pytest

from greenroom.domain.model import Event
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import Notifier

SECRET = "T0PS3CRET"

EVENT = Event(
    id="r-0007/rolled_back/41",
    kind="rolled_back",
    service="shop",
    at=1_790_000_000.25,
    release="r-0007",
    version="1.4",
    text="1.4 was rolled back: 12 % errors <against> 0 % & rising; blue serves 1.3 again",
    facts={"errors": 12},
)


class Receiver:
    """The other end: a real server on this machine. It answers with `status` and `headers`; None: it says nothing."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.headers: Mapping[str, str] = {}
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []
        """(method and path, headers in lower case, body) of each request."""
        self._ended = Flag()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/{SECRET}"

    def stop(self) -> None:
        """From now on nobody is there."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append((f"{self.command} {self.path}", headers, body))
                if receiver.status is None:
                    receiver._ended.wait(60)
                    return
                self.send_response(receiver.status)
                for name, value in {"Content-Length": "0", **receiver.headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        return Handler


class NotifierContract:
    """A subclass gives a fixture `notifier` that posts to `receiver.url`, and one that is `impatient`."""

    @pytest.fixture
    def receiver(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        receiver = Receiver()
        try:
            yield receiver
        finally:
            receiver.stop()

    @pytest.fixture
    def notifier(self, receiver: Receiver) -> Notifier:
        raise NotImplementedError("a subclass makes the notifier")

    @pytest.fixture
    def impatient(self, receiver: Receiver) -> Notifier:
        """The same, but it waits for an answer for less than a second."""
        raise NotImplementedError("a subclass makes the notifier")

    def test_an_event_is_told_once_and_can_be_recognised(self, notifier: Notifier, receiver: Receiver) -> None:
        notifier.notify(EVENT)
        notifier.notify(EVENT)
        assert len(receiver.got) == 2
        [first, second] = receiver.got
        assert first[0] == f"POST /services/{SECRET}"
        assert first[1]["idempotency-key"] == second[1]["idempotency-key"] == EVENT.id
        assert first[2] == second[2]
        assert b"1.4 was rolled back" in first[2]

    @pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
    def test_the_other_ends_trouble_is_temporary(self, notifier: Notifier, receiver: Receiver, status: int) -> None:
        receiver.status, receiver.headers = status, {"Retry-After": "7"}
        with pytest.raises(Temporary) as error:
            notifier.notify(EVENT)
        assert error.value.retry_after == 7
        hidden(error.value, notifier)
        assert len(receiver.got) == 1, "the engine repeats, not the notifier"
        receiver.status = 204
        notifier.notify(EVENT)

    @pytest.mark.parametrize("status", [400, 401, 404, 410, 302])
    def test_a_refusal_is_permanent(self, notifier: Notifier, receiver: Receiver, status: int) -> None:
        receiver.status, receiver.headers = status, {"Location": receiver.url + "/elsewhere"}
        with pytest.raises(Permanent) as error:
            notifier.notify(EVENT)
        hidden(error.value, notifier)
        assert str(status) in error.value.message
        assert len(receiver.got) == 1

    def test_silence_is_temporary_and_has_an_end(self, impatient: Notifier, receiver: Receiver) -> None:
        receiver.status = None
        with pytest.raises(Temporary, match="does not answer") as error:
            impatient.notify(EVENT)
        hidden(error.value, impatient)

    def test_nobody_there_is_temporary(self, notifier: Notifier, receiver: Receiver) -> None:
        receiver.stop()
        with pytest.raises(Temporary, match="refuses connections") as error:
            notifier.notify(EVENT)
        hidden(error.value, notifier)

    def test_the_address_is_in_no_log(
        self, notifier: Notifier, receiver: Receiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            notifier.notify(EVENT)
        assert SECRET not in caplog.text


def hidden(error: PortError, notifier: Notifier) -> None:
    """The address is a secret: not in the error nor in what a traceback would print, nor in the notifier's text."""
    told: list[BaseException | None] = [error, error.__cause__, error.__context__]
    assert not any(SECRET in f"{text!r} {getattr(text, 'hint', '')}" for text in told)
    assert SECRET not in f"{notifier!r} {vars(notifier)!r}"
