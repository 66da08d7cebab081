"""At least once, recognisable, never in the way: each notifier behind the real outbox, with crashes in between."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from greenroom.adapters.notifiers.apprise import AppriseNotifier, AppriseSettings
from greenroom.adapters.notifiers.email import EmailNotifier, EmailSettings
from greenroom.adapters.notifiers.posting import Patience
from greenroom.adapters.notifiers.slack import SlackNotifier, SlackSettings
from greenroom.adapters.notifiers.webhook import WebhookNotifier, WebhookSettings
from greenroom.domain.phases import Phase
from greenroom.domain.records import Requested
from greenroom.engine.followers import CursorFile, CursorMemory, Outbox
from greenroom.ports import Notifier, Place
from greenroom.testing.clock import FakeClock
from greenroom.testing.contracts.notifier import SECRET, Receiver
from greenroom.testing.fakes import FakeNotifier
from greenroom.testing.memory import MemoryJournal
from greenroom.testing.world import Behaviour
from tests.engine.scenarios import SHORT
from tests.engine.stage import Stage as EngineStage
from tests.rigs.mail import MailServer

pytestmark = pytest.mark.real

PLACE = Place("shop", Path("greenroom.yaml"), Path(".greenroom"))


class Crash(BaseException):
    """The engine dies here."""


class Dying(CursorFile):
    """The first `times` times that something was told, the engine dies before it has written that down."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__(path)
        self.times = times

    def save(self, cursors: Mapping[str, int]) -> None:
        if self.times > 0:
            self.times -= 1
            raise Crash
        super().save(cursors)


class Stage:
    """A journal with releases in it, and an outbox that can be made anew, as after a crash."""

    def __init__(self, file: Path) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.file = file
        self.releases = 0

    def release(self) -> None:
        self.releases += 1
        details: dict[str, Any] = {"version": f"{self.releases}.0", "colour": "blue"}
        name = f"r-{self.releases:04}"
        last = len(self.journal.read())
        self.journal.append([Requested("deploy", "ann", "", name, details)], expected=last)

    def outbox(self, *notifiers: Notifier, crashes: int = 0) -> Outbox:
        cursors = Dying(self.file, crashes) if crashes else CursorFile(self.file)
        return Outbox("shop", self.journal, lambda: notifiers, cursors, self.clock)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "notified.json")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    with MailServer(tmp_path) as server:
        yield server


def slack(receiver: Receiver) -> Notifier:
    return SlackNotifier(SlackSettings.model_construct(url=SecretStr(receiver.url)), PLACE)


def webhook(receiver: Receiver) -> Notifier:
    return WebhookNotifier(WebhookSettings.model_validate({"url": receiver.url, "secret": SECRET}), PLACE)


def apprise(receiver: Receiver) -> Notifier:
    url = receiver.url.replace("http://", "json://")
    return AppriseNotifier(AppriseSettings.model_validate({"urls": url}), PLACE)


def email(server: MailServer) -> Notifier:
    settings = {"host": "127.0.0.1", "port": server.port, "security": "none", "from": "r@shop.example"}
    return EmailNotifier(EmailSettings.model_validate({**settings, "to": "ops@shop.example"}), PLACE)


def by_key(got: tuple[str, Mapping[str, str], bytes]) -> str:
    return got[1]["idempotency-key"]


def by_last_line(got: tuple[str, Mapping[str, str], bytes]) -> str:
    return str(json.loads(got[2])["message"].splitlines()[-1])


@pytest.mark.parametrize(("make", "name"), [(slack, by_key), (webhook, by_key), (apprise, by_last_line)])
def test_after_a_crash_between_delivery_and_cursor_it_is_told_again_under_the_same_name(
    stage: Stage, receiver: Receiver, make: Callable[[Receiver], Notifier], name: Callable[[Any], str]
) -> None:
    stage.outbox(make(receiver)).step()  # from now on it is known
    stage.release()
    for _ in range(2):
        with pytest.raises(Crash):
            stage.outbox(make(receiver), crashes=1).step()
    stage.outbox(make(receiver)).step()
    stage.release()
    stage.outbox(make(receiver)).step()
    assert [name(got) for got in receiver.got] == ["shop/1", "shop/1", "shop/1", "shop/2"]
    assert len({got[2] for got in receiver.got}) == 2, "the same event is the same message"


def test_who_is_new_misses_nothing_by_a_crash_before_the_first_word(stage: Stage, receiver: Receiver) -> None:
    stage.release()
    stage.outbox(webhook(receiver)).step()
    stage.release()
    receiver.stop()
    stage.outbox(FakeNotifier("new", failing=1), webhook(receiver)).step()  # it is known, and could not be told
    stage.release()
    new = FakeNotifier("new")
    stage.outbox(new).step()
    assert [event.id for event in new.told] == ["shop/2", "shop/3"]


def test_after_a_crash_the_same_mail_has_the_same_message_id(stage: Stage, server: MailServer) -> None:
    stage.release()
    stage.outbox(email(server)).step()  # from now on it is known, and hears everything
    stage.release()
    with pytest.raises(Crash):
        stage.outbox(email(server), crashes=1).step()
    stage.release()
    stage.outbox(email(server)).step()
    names = [message["Message-ID"] for _, message in server.mailbox.got]
    assert [message["X-Greenroom-Event"] for _, message in server.mailbox.got] == [
        "shop/1",
        "shop/2",
        "shop/2",
        "shop/3",
    ]
    assert names[0] != names[1] == names[2] != names[3]


def test_what_fails_for_a_while_arrives_later_in_order_and_holds_up_nobody(
    stage: Stage, receiver: Receiver, server: MailServer
) -> None:
    calm, mails = FakeNotifier("calm"), email(server)
    box = stage.outbox(slack(receiver), mails, calm)
    box.step()
    receiver.status, receiver.headers = 429, {"Retry-After": "30"}
    server.mailbox.refuse = {"ops@shop.example": "450 later"}
    stage.release()
    stage.release()
    box.step()
    assert [event.id for event in calm.told] == ["shop/1", "shop/2"]
    asked = len(receiver.got)
    stage.clock.sleep(29.0)
    box.step()
    assert len(receiver.got) == asked, "it asked for 30 s of peace"
    receiver.status, receiver.headers, server.mailbox.refuse = 200, {}, {}
    for _ in range(5):
        stage.clock.sleep(61.0)
        box.step()
    assert [by_key(got) for got in receiver.got[asked:]] == ["shop/1", "shop/2"]
    assert [message["X-Greenroom-Event"] for _, message in server.mailbox.got] == ["shop/1", "shop/2"]


class Impatient(SlackNotifier):
    patience: ClassVar[Patience] = Patience(0.3, 60.0)


def test_one_that_hangs_is_left_alone_and_the_next_are_told(stage: Stage, receiver: Receiver) -> None:
    receiver.status = None
    hanging = Impatient(SlackSettings.model_construct(url=SecretStr(receiver.url)), PLACE)
    calm = FakeNotifier("calm")
    stage.release()
    box = stage.outbox(hanging, calm)
    done = threading.Event()

    def step() -> None:
        box.step()
        done.set()

    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    assert done.wait(30), "it hangs with the receiver"
    thread.join()
    assert [event.id for event in calm.told] == ["shop/1"]
    assert len(receiver.got) == 1
    box.step()
    assert len(receiver.got) == 1, "not before its time"


def test_what_the_engine_saw_of_both_colours_reaches_the_mail(server: MailServer) -> None:
    """From the counters of the router, through the journal, to whoever is told: the numbers side by side."""
    engine = EngineStage(plan=SHORT)
    engine.established()
    engine.world.behaviours["2.0"] = Behaviour(errors=0.5)
    engine.deploy("2.0")
    assert engine.until_ended().phase is Phase.ROLLED_BACK
    box = Outbox("shop", engine.journal, lambda: [email(server)], CursorMemory(), engine.clock)
    for _ in range(20):
        engine.clock.sleep(box.step())
    _, message = server.mailbox.got[-1]
    body = message.get_body(("plain",))
    assert body is not None
    told = body.get_content().replace("\r\n", "\n")
    assert "2.0 was taken back, 1.0 serves: error rate" in told
    assert "green 2.0 (candidate)   blue 1.0 (baseline)\n" in told
    [errors] = [line for line in told.splitlines() if line.startswith("error rate")]
    assert errors.split()[2] == "50", errors
    assert errors.endswith("0 %")
