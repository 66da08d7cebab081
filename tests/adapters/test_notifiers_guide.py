"""What the guide says of signatures, run as it stands there."""

from __future__ import annotations

import hashlib
import hmac
import time
from pathlib import Path
from typing import Any

import pytest

from greenroom.adapters.notifiers.webhook import WebhookNotifier, WebhookSettings
from greenroom.ports import Place
from greenroom.testing.contracts.notifier import EVENT, SECRET, Receiver
from tests.docs.pages import ROOT, blocks

pytestmark = pytest.mark.real

[SNIPPET] = [b.text for b in blocks(ROOT / "docs" / "guides" / "notifications.md") if b.language == "python"]


def genuine(*given: Any) -> bool:
    names: dict[str, Any] = {}
    exec(compile(SNIPPET, "verify.py", "exec"), names)
    return bool(names["genuine"](*given))


def test_the_guides_way_to_verify_knows_the_real_request_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receiver = Receiver()
    try:
        settings = WebhookSettings.model_validate({"url": receiver.url, "secret": SECRET})
        WebhookNotifier(settings, Place("shop", Path("greenroom.yaml"), Path(".greenroom"))).notify(EVENT)
    finally:
        receiver.stop()
    [(_, headers, body)] = receiver.got
    header = headers["x-greenroom-signature"]
    assert genuine(header, body, SECRET)
    assert not genuine(header, body + b" ", SECRET)
    assert not genuine(header, body, SECRET + "x")
    assert not genuine(header.replace("t=", "t=1"), body, SECRET)
    assert not genuine(header.partition(",")[0], body, SECRET)
    for nonsense in ("", "t=,v1=", "t=²,v1=x", "v1", "t=-1,v1=0"):
        assert not genuine(nonsense, body, SECRET)
    old = str(int(time.time()) - 1000)
    signed = hmac.new(SECRET.encode(), f"{old}.".encode() + body, hashlib.sha256).hexdigest()
    assert not genuine(f"t={old},v1={signed}", body, SECRET)
