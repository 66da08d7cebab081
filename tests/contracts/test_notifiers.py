"""The notifiers keep the contract of their port."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from greenroom.adapters.notifiers.webhook import WebhookNotifier, WebhookSettings
from greenroom.errors import Permanent
from greenroom.ports import Place
from greenroom.testing.contracts.notifier import EVENT, SECRET, NotifierContract, Receiver, hidden

PLACE = Place("shop", Path("greenroom.yaml"), Path(".greenroom"))


class Patient(WebhookNotifier):
    timeout: ClassVar[float] = 60.0


class Impatient(WebhookNotifier):
    timeout: ClassVar[float] = 0.3


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
    ],
)
def test_wrong_settings_are_refused_without_showing_the_address(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        WebhookSettings.model_validate(settings)
    assert SECRET not in str(error.value)
