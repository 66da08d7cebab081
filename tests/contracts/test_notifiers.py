"""The notifiers keep the contract of their port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest
from pydantic import SecretStr, ValidationError

from greenroom.adapters.notifiers.posting import Patience
from greenroom.adapters.notifiers.settings import Kind
from greenroom.adapters.notifiers.slack import SlackNotifier, SlackSettings
from greenroom.adapters.notifiers.webhook import WebhookNotifier, WebhookSettings, signature
from greenroom.domain.events import KINDS
from greenroom.errors import Permanent
from greenroom.ports import Place
from greenroom.testing.contracts.notifier import EVENT, SECRET, NotifierContract, Receiver, hidden
from tests.rigs.chat import refused

PLACE = Place("shop", Path("greenroom.yaml"), Path(".greenroom"))


class Patient(WebhookNotifier):
    patience: ClassVar[Patience] = Patience(60.0, 60.0)


class Impatient(WebhookNotifier):
    patience: ClassVar[Patience] = Patience(0.3, 60.0)


def webhook(receiver: Receiver, **settings: Any) -> WebhookNotifier:
    return Patient(WebhookSettings.model_validate({"url": receiver.url, **settings}), PLACE)


class TestWebhookNotifier(NotifierContract):
    @pytest.fixture
    def notifier(self, receiver: Receiver) -> WebhookNotifier:
        return webhook(receiver, headers={"Authorization": f"Bearer {SECRET}"})

    @pytest.fixture
    def impatient(self, receiver: Receiver) -> WebhookNotifier:
        return Impatient(WebhookSettings.model_validate({"url": receiver.url}), PLACE)

    def test_as_json_it_tells_everything(self, notifier: WebhookNotifier, receiver: Receiver) -> None:
        notifier.notify(EVENT)
        [(_, headers, body)] = receiver.got
        assert headers["authorization"] == f"Bearer {SECRET}"
        assert headers["content-type"] == "application/json"
        assert json.loads(body) == {
            "id": EVENT.id,
            "kind": "rolled_back",
            "service": "shop",
            "release": "r-0007",
            "version": "1.4",
            "at": EVENT.at,
            "time": "2026-09-21T14:13:20.250+00:00",
            "text": EVENT.text,
            "facts": {"errors": 12},
        }

    def test_for_slack_it_is_one_escaped_sentence(self, receiver: Receiver) -> None:
        webhook(receiver, format="slack").notify(EVENT)
        [(_, _, body)] = receiver.got
        escaped = "shop: 1.4 was rolled back: 12 % errors &lt;against&gt; 0 % &amp; rising; blue serves 1.3 again"
        assert json.loads(body) == {"text": escaped}

    def test_headers_that_cannot_be_sent_are_permanent(self, receiver: Receiver) -> None:
        for value in (f"{SECRET}\nX: y", f"{SECRET}ü"):
            notifier = webhook(receiver, headers={"Authorization": value})
            with pytest.raises(Permanent) as error:
                notifier.notify(EVENT)
            hidden(error.value, notifier)
        assert receiver.got == []


class TestSignedWebhookNotifier(NotifierContract):
    """With a secret: all the same, and every request says who sent it."""

    @pytest.fixture
    def notifier(self, receiver: Receiver) -> WebhookNotifier:
        return webhook(receiver, secret=SECRET)

    @pytest.fixture
    def impatient(self, receiver: Receiver) -> WebhookNotifier:
        return Impatient(WebhookSettings.model_validate({"url": receiver.url, "secret": SECRET}), PLACE)

    def test_every_request_is_signed_with_its_time(self, notifier: WebhookNotifier, receiver: Receiver) -> None:
        notifier.notify(EVENT)
        [(_, headers, body)] = receiver.got
        at = int(headers["x-greenroom-signature"].removeprefix("t=").partition(",")[0])
        assert headers["x-greenroom-signature"] == signature(SECRET, at, body)
        assert signature(SECRET, at, body + b" ") != signature(SECRET, at, body) != signature(SECRET, at + 1, body)
        assert signature("12345678", 7, b"{}") == (
            "t=7,v1=521fa3dc125f5f8152c99c4f98bc8fe8f48570c3b1ec60ca4d18b8802d3430a7"
        )


class PatientSlack(SlackNotifier):
    patience: ClassVar[Patience] = Patience(60.0, 60.0)


class ImpatientSlack(SlackNotifier):
    patience: ClassVar[Patience] = Patience(0.3, 60.0)


class TestSlackCompatibleNotifier(NotifierContract):
    @pytest.fixture
    def notifier(self, receiver: Receiver) -> SlackNotifier:
        return PatientSlack(SlackSettings.model_validate({"url": receiver.url, "compatible": True}), PLACE)

    @pytest.fixture
    def impatient(self, receiver: Receiver) -> SlackNotifier:
        return ImpatientSlack(SlackSettings.model_validate({"url": receiver.url, "compatible": True}), PLACE)

    def test_it_sends_attachments_and_no_blocks(self, notifier: SlackNotifier, receiver: Receiver) -> None:
        notifier.notify(EVENT)
        message = json.loads(receiver.got[0][2])
        assert "blocks" not in message
        assert message["attachments"][0]["footer"] == EVENT.id


class TestSlackNotifier(NotifierContract):
    """In blocks. The settings are not validated here: they would refuse an address that is not Slack's."""

    @pytest.fixture
    def notifier(self, receiver: Receiver) -> SlackNotifier:
        return PatientSlack(SlackSettings.model_construct(url=SecretStr(receiver.url)), PLACE)

    @pytest.fixture
    def impatient(self, receiver: Receiver) -> SlackNotifier:
        return ImpatientSlack(SlackSettings.model_construct(url=SecretStr(receiver.url)), PLACE)

    def test_it_sends_blocks_that_slack_takes(self, notifier: SlackNotifier, receiver: Receiver) -> None:
        notifier.notify(EVENT)
        [(_, headers, body)] = receiver.got
        message = json.loads(body)
        assert refused(message) == []
        assert "&lt;against&gt; 0 % &amp; rising" in message["text"]
        assert headers["content-type"] == "application/json; charset=utf-8"


def test_every_kind_of_event_can_be_asked_for() -> None:
    assert frozenset(get_args(Kind)) == KINDS


def test_its_settings_say_what_it_wants_and_is_called() -> None:
    settings = WebhookSettings.model_validate({"url": "https://x.example/", "on": ["stuck"], "name": "ops"})
    notifier = WebhookNotifier(settings, PLACE)
    assert (notifier.name, notifier.on) == ("ops", frozenset({"stuck"}))
    assert WebhookNotifier(WebhookSettings.model_validate({"url": "https://x.example/"}), PLACE).on is None


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"url": f"ftp://x.example/{SECRET}"},
        {"url": SECRET},
        {"url": f"https:///{SECRET}"},
        {"url": f"https://x.example/{SECRET}", "on": ["exploded"]},
        {"url": f"https://x.example/{SECRET}", "format": "xml"},
        {"url": f"https://x.example/{SECRET}", "colour": "blue"},
        {"url": f"https://x.example/{SECRET}", "secret": SECRET[:7]},
    ],
)
def test_wrong_settings_are_refused_without_showing_the_address(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        WebhookSettings.model_validate(settings)
    assert SECRET not in str(error.value)
