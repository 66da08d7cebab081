"""The notifiers against real servers: what they write, what they do where the other end refuses, hangs or drips."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr, ValidationError

from greenroom.adapters.notifiers.apprise import AppriseNotifier, AppriseSettings
from greenroom.adapters.notifiers.email import EmailNotifier, EmailSettings
from greenroom.adapters.notifiers.posting import Patience
from greenroom.adapters.notifiers.slack import REASONS, SlackNotifier, SlackSettings, attachments, blocks
from greenroom.adapters.notifiers.webhook import WebhookNotifier, WebhookSettings
from greenroom.adapters.notifiers.wording import plain
from greenroom.domain.model import Event
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import Place
from greenroom.testing.contracts.notifier import EVENT, SECRET, Receiver, hidden
from tests.rigs.chat import Dripping, refused
from tests.rigs.mail import PASSWORD, USER, MailServer

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")]

PLACE = Place("shop", Path("greenroom.yaml"), Path(".greenroom"))
HOOK = "https://hooks.slack.com/services/T0AB12/B0CD34/" + SECRET

FULL = replace(
    EVENT,
    facts={
        "by": "ann",
        "why": "the sale <begins> & ends",
        "reason": "error rate 12 %: 144 of 1204 requests",
        "evidence": ["GET /basket: 500", "GET /<b>: 502"],
        "took": 93.0,
        "active": "blue",
        "active_version": "1.3",
        "numbers": {
            "blue": {
                "version": "1.3",
                "role": "baseline",
                "requests": 12000,
                "errors": 0,
                "error_rate": 0.0,
                "p99": 22,
            },
            "green": {
                "version": "1.4",
                "role": "candidate",
                "requests": 1204,
                "errors": 144,
                "error_rate": 0.1196,
                "p50": 5,
                "p99": 250.0,
                "share": 10,
            },
        },
        "ways": {"greenroom show r-0007": "tells the whole story"},
    },
)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receiver = Receiver()
    yield receiver
    receiver.stop()


# --- Slack ------------------------------------------------------------------------------------------------------------


def slack(receiver: Receiver, **settings: Any) -> SlackNotifier:
    return SlackNotifier(SlackSettings.model_construct(url=SecretStr(receiver.url), **settings), PLACE)


def test_slack_shows_both_colours_side_by_side_who_why_and_the_way_on() -> None:
    message = blocks(FULL, "https://releases.example/r-0007.svg?a&b")
    assert refused(message) == []
    header, numbers, facts, evidence, ways, context = message["blocks"]
    assert header["text"]["text"] == f"⏪ shop: {EVENT.text}"
    assert [field["text"] for field in numbers["fields"]] == [
        "*green 1.4 (candidate)*\nrequests: 1,204\nerror rate: 12 % (144)\np50: 5 ms\np99: 250 ms\ntraffic: 10 %",
        "*blue 1.3 (baseline)*\nrequests: 12,000\nerror rate: 0 %\np50: —\np99: 22 ms\ntraffic: —",
    ]
    told = [field["text"] for field in facts["fields"]]
    assert told[:3] == [
        "*Asked by*\nann",
        "*Because*\nthe sale &lt;begins&gt; &amp; ends",
        "*Reason*\nerror rate 12 %: 144 of 1204 requests",
    ]
    assert {"*Took*\n1m33s", "*Live*\n1.3 on blue", "*Release*\nr-0007"} <= set(told)
    assert evidence["text"]["text"] == "```GET /basket: 500\nGET /&lt;b&gt;: 502```"
    assert ways["text"]["text"].splitlines() == [
        "`greenroom show r-0007` tells the whole story",
        "<https://releases.example/r-0007.svg?a&amp;b|Picture and details>",
    ]
    assert context["elements"][0]["text"].startswith(f"{EVENT.id} · <!date^1790000000^")


@pytest.mark.parametrize("sign", ["x", "<", "é", "🚦"])
def test_however_long_it_is_slack_takes_it(sign: str) -> None:
    long = sign * 5000
    one = {**FULL.facts["numbers"]["green"], "version": long}
    facts = {
        **FULL.facts,
        "by": long,
        "why": long,
        "reason": long,
        "evidence": [long] * 200,
        "numbers": {"green": one, "blue": one},
        "ways": {long: long},
    }
    message = blocks(replace(FULL, text=long, id=long, facts=facts), "https://releases.example/" + "x" * 1000)
    assert refused(message) == []
    assert not any(text.endswith(("&", "&l", "&lt", "&a", "&am", "&amp")) for text in _texts(message))
    assert len(json.dumps(attachments(replace(FULL, text=long, facts=facts)))) < 200_000


def test_facts_of_a_strangers_shape_are_left_out() -> None:
    facts = {"numbers": "many", "evidence": 7, "ways": ["x"], "took": "long", "by": None}
    assert refused(blocks(replace(FULL, facts=facts))) == []
    assert refused(blocks(replace(FULL, kind="exploded", facts={"numbers": {"blue": {}, "green": 4}}))) == []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "text" and isinstance(item, str):
                yield item.removesuffix("```").removesuffix("…")
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


class Wordy(Receiver):
    """Answers with a body, as Slack does."""

    said = b""

    def _handler(self) -> Any:
        usual, outer = super()._handler(), self

        class Handler(usual):  # type: ignore[misc, valid-type]
            def end_headers(self) -> None:
                super().end_headers()
                self.wfile.write(outer.said)

        return Handler


@pytest.mark.parametrize(
    ("status", "said"), [(404, "no_service"), (410, "channel_is_archived"), (400, "invalid_blocks")]
)
def test_what_slack_says_when_it_refuses_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receiver = Wordy()
    receiver.status, receiver.said, receiver.headers = status, said.encode(), {"Content-Length": str(len(said))}
    try:
        with pytest.raises(Permanent) as error:
            slack(receiver, name="ops").notify(EVENT)
        assert error.value.message == f"Slack (ops) answered {status}: {said}."
        assert error.value.hint == REASONS[said]
        receiver.said = SECRET.encode().ljust(len(said))
        with pytest.raises(Permanent) as error:
            slack(receiver).notify(EVENT)
        hidden(error.value, slack(receiver))
    finally:
        receiver.stop()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"https://shop.example/{SECRET}", "no webhook of Slack's.*compatible: true.*type: webhook"),
        (f"http://hooks.slack.com/services/T0/B0/{SECRET}", "begins with http://"),
        (f"https://hooks.slack.com/triggers/T0/1/{SECRET}", "starts a workflow"),
        ("https://hooks.slack.com/services/T0/B0", "not the whole address"),
        (f"https://hooks.slack.com/services/X0/B0/{SECRET}", "not the whole address"),
        (f"https://hooks.slack.com.evil.example/services/T0/B0/{SECRET}", "no webhook of Slack's"),
        (SECRET, "begins with http"),
    ],
)
def test_a_slack_address_that_is_none_is_refused_without_showing_it(url: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as error:
        SlackSettings.model_validate({"url": url})
    assert error.value.errors()[0]["loc"] == ("url",)
    assert SECRET not in str(error.value)


def test_slack_addresses_and_those_of_other_servers_are_taken() -> None:
    for url in (HOOK, HOOK.replace("slack.com", "slack-gov.com"), HOOK + "/"):
        SlackSettings.model_validate({"url": url})
    SlackSettings.model_validate({"url": f"http://chat.shop.example:8065/hooks/{SECRET}", "compatible": True})


def test_the_link_is_filled_in_and_escaped_and_checked() -> None:
    link = "https://releases.example/{service}/{release}.svg?v={version}"
    settings = SlackSettings.model_validate({"url": HOOK, "link": link})
    there = settings.link_for(replace(EVENT, version="1/4 &"))
    assert there == "https://releases.example/shop/r-0007.svg?v=1%2F4%20%26"
    for wrong in ("releases.example", "https://releases.example/{colour}"):
        with pytest.raises(ValidationError):
            SlackSettings.model_validate({"url": HOOK, "link": wrong})


# --- mail -------------------------------------------------------------------------------------------------------------


def mail(server: MailServer, security: str = "none", **settings: Any) -> EmailNotifier:
    given = {"host": "127.0.0.1", "port": server.port, "security": security, "to": "ops@shop.example", **settings}
    given.setdefault("from", "Releases <releases@shop.example>")
    if security != "none":
        given.setdefault("ca", str(server.ca))
    return EmailNotifier(EmailSettings.model_validate(given), PLACE)


LOGIN = {"user": USER, "password": PASSWORD}


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize("login", [False, True])
def test_a_mail_arrives(tmp_path: Path, security: str, login: bool) -> None:
    with MailServer(tmp_path, security, login=login) as server:
        notifier = mail(server, security, to=["ops@shop.example", "Ann <ann@shop.example>"], **(LOGIN if login else {}))
        notifier.notify(FULL)
        notifier.notify(FULL)
    [(boxes, message), (_, again)] = server.mailbox.got
    assert boxes == ("ops@shop.example", "ann@shop.example")
    assert message["Message-ID"] == again["Message-ID"]
    assert message["Message-ID"].endswith("@shop.example>")
    assert message["Date"] == again["Date"] == "Mon, 21 Sep 2026 14:13:20 +0000"
    assert message["From"] == "Releases <releases@shop.example>"
    assert message["To"] == "ops@shop.example, Ann <ann@shop.example>"
    assert message["Subject"] == f"shop: {EVENT.text}"
    assert message["X-Greenroom-Event"] == EVENT.id
    assert server.mailbox.logins == ([f"{USER}: right"] * 2 if login else [])
    if security == "starttls":
        assert server.mailbox.secured == [True, True]


def test_a_mail_shows_the_numbers_as_text_and_as_a_table(tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        mail(server, link="https://releases.example/{release}.svg").notify(FULL)
    [(_, message)] = server.mailbox.got
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    written = text.get_content().replace("\r\n", "\n")
    assert "             green 1.4 (candidate)   blue 1.3 (baseline)\n" in written
    assert "error rate   12 % (144)              0 %\n" in written
    assert "Picture: https://releases.example/r-0007.svg\n" in written
    assert "greenroom show r-0007   tells the whole story\n" in written
    shown = html.get_content()
    assert "the sale &lt;begins&gt; &amp; ends" in shown
    assert '<a href="https://releases.example/r-0007.svg">' in shown
    assert "<b>: 502" not in shown


def test_the_mails_of_a_release_belong_together_and_each_event_has_its_own_name(tmp_path: Path) -> None:
    other = replace(EVENT, id="shop/42", kind="stuck")
    with MailServer(tmp_path) as server:
        for event in (EVENT, other, replace(EVENT, service="news\nBcc: x@evil.example", text="line\r\nBcc: y")):
            mail(server).notify(event)
    messages = [message for _, message in server.mailbox.got]
    assert len({message["Message-ID"] for message in messages}) == 2
    assert messages[0]["References"] == messages[1]["References"] != messages[2]["References"]
    assert messages[2]["Subject"] == "news Bcc: x@evil.example: line Bcc: y"
    assert messages[2]["Bcc"] is None


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_wrong_password_is_permanent_and_not_shown(tmp_path: Path, security: str) -> None:
    with MailServer(tmp_path, security, login=True) as server:
        notifier = mail(server, security, user=USER, password=SECRET)
        with pytest.raises(Permanent, match=r"does not let 'robot' in: 535 ") as error:
            notifier.notify(EVENT)
    assert "Correct `user` and `password`" in error.value.hint
    hidden(error.value, notifier)
    assert server.mailbox.got == []


def test_a_server_that_wants_a_login_says_so(tmp_path: Path) -> None:
    with MailServer(tmp_path, login=True) as server, pytest.raises(Permanent, match="refuses: 530 ") as error:
        mail(server).notify(EVENT)
    assert "log in" in error.value.hint


def test_nobody_who_logs_in_where_nobody_can(tmp_path: Path) -> None:
    with MailServer(tmp_path, login=None) as server, pytest.raises(Permanent, match="lets nobody log in") as error:
        mail(server, **LOGIN).notify(EVENT)
    assert "Take `user` and `password` out" in error.value.hint


def test_refused_recipients_are_named_and_the_others_are_told_once(tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        notifier = mail(server, to=["a@x.example", "b@x.example", "c@x.example"])
        server.mailbox.refuse = {"b@x.example": "550 no such user", "c@x.example": "450 try later"}
        with pytest.raises(Temporary) as later:
            notifier.notify(EVENT)
        assert "b@x.example: 550 no such user; c@x.example: 450 try later; 1 others were told" in later.value.message
        server.mailbox.refuse = {"b@x.example": "550 no such user"}
        with pytest.raises(Permanent, match=r"b@x\.example: 550 no such user; 1 others were told"):
            notifier.notify(EVENT)
        server.mailbox.refuse = dict.fromkeys(("a@x.example", "b@x.example", "c@x.example"), "550 gone")
        with pytest.raises(Permanent, match=r"does not take mail for a@x\.example: 550 gone; b@x\.example"):
            notifier.notify(replace(EVENT, id="shop/99"))
    assert [boxes for boxes, _ in server.mailbox.got] == [("a@x.example",), ("c@x.example",)]


@pytest.mark.parametrize(
    ("answer", "kind"), [("451 greylisted", Temporary), ("552 too big", Permanent), ("554 it is spam", Permanent)]
)
def test_what_the_server_says_to_the_mail_decides(tmp_path: Path, answer: str, kind: type[PortError]) -> None:
    with MailServer(tmp_path) as server:
        server.mailbox.refuse = {"data": answer}
        with pytest.raises(kind, match=f"refuses: {answer}"):
            mail(server).notify(EVENT)


def test_security_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "tls").mkdir()
    with MailServer(tmp_path / "plain") as plainly, MailServer(tmp_path / "tls", "tls") as secure:
        with pytest.raises(Permanent, match="offers no STARTTLS"):
            mail(plainly, "starttls", ca=str(secure.ca)).notify(EVENT)
        with pytest.raises(Temporary, match="does not speak TLS") as error:
            mail(plainly, "tls", ca=str(secure.ca)).notify(EVENT)
        assert "465 is `tls`" in error.value.hint
        with pytest.raises(Temporary, match="cannot be trusted") as error:
            EmailNotifier(
                EmailSettings.model_validate(
                    {
                        "host": "127.0.0.1",
                        "port": secure.port,
                        "security": "tls",
                        "from": "a@b.example",
                        "to": "c@d.example",
                    }
                ),
                PLACE,
            ).notify(EVENT)
        assert "`ca` names authorities" in error.value.hint
        with pytest.raises(Permanent, match="file of authorities cannot be used"):
            mail(secure, "tls", ca=str(tmp_path / "missing.pem")).notify(EVENT)


def test_no_server_and_no_name(tmp_path: Path) -> None:
    server = MailServer(tmp_path)
    with pytest.raises(Temporary, match="refuses connections"):
        mail(server).notify(EVENT)
    with pytest.raises(Temporary, match="its name is not known"):
        mail(server, host="mail.invalid").notify(EVENT)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"to": "ops"}, "'ops' is no address of a mailbox; write it like ops@shop.example"),
        ({"to": ["a@b.example", "a@b c.example"]}, "is no address of a mailbox"),
        ({"to": "ops@shop.example\nBcc: x@evil.example"}, "is no address of a mailbox"),
        ({"to": []}, "at least 1 item"),
        ({"from": "Releases"}, "is no address of a mailbox"),
        ({"from": "müller@shop.example"}, "is no address of a mailbox"),
        ({"host": "smtp://mail.example"}, "no name of a server"),
        ({"host": "mail.example:25"}, "no name of a server"),
        ({"user": "robot"}, "`user` and `password` belong together"),
        ({"password": SECRET}, "`user` and `password` belong together"),
        ({"user": "robot", "password": SECRET, "security": "none"}, "in the clear"),
        ({"security": "none", "ca": "x.pem"}, "`ca` has no meaning"),
        ({"security": "ssl"}, "'starttls', 'tls' or 'none'"),
        ({"cc": "x"}, "Extra inputs"),
    ],
)
def test_wrong_settings_of_mail_are_refused(settings: dict[str, Any], why: str) -> None:
    good = {"host": "mail.example", "from": "r@shop.example", "to": "ops@shop.example"}
    with pytest.raises(ValidationError, match=why) as error:
        EmailSettings.model_validate({**good, **settings})
    assert SECRET not in str(error.value)


def test_ports_follow_the_security() -> None:
    good = {"host": "mail.example", "from": "r@shop.example", "to": "Ops Team <ops@shop.example>"}
    found = {s: EmailSettings.model_validate({**good, "security": s}).at for s in ("starttls", "tls", "none")}
    assert found == {"starttls": 587, "tls": 465, "none": 25}
    assert EmailSettings.model_validate({**good, "host": "::1", "port": 2525}).at == 2525


# --- apprise ----------------------------------------------------------------------------------------------------------


def apprised(*receivers: Receiver) -> AppriseNotifier:
    urls = [receiver.url.replace("http://", "json://") for receiver in receivers]
    return AppriseNotifier(AppriseSettings.model_validate({"urls": urls, "name": "others"}), PLACE)


def test_apprise_tells_everything_and_logs_no_address(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    notifier = apprised(receiver)
    with caplog.at_level(logging.DEBUG):
        notifier.notify(FULL)
        receiver.status = 404
        with pytest.raises(Temporary, match=r"could not tell number 1 \(answered 404\)") as error:
            notifier.notify(FULL)
        receiver.stop()
        with pytest.raises(Temporary, match=r"could not tell number 1\.") as gone:
            notifier.notify(FULL)
    hidden(error.value, notifier)
    hidden(gone.value, notifier)
    assert SECRET not in caplog.text
    got = json.loads(receiver.got[0][2])
    assert got["title"] == f"⏪ shop: {EVENT.text}"
    assert got["type"] == "failure"
    assert plain(FULL).strip() in got["message"].replace("\r\n", "\n")
    assert got["message"].endswith(EVENT.id)


def test_of_several_only_those_are_told_again_that_were_not(receiver: Receiver) -> None:
    other = Receiver()
    try:
        notifier = apprised(receiver, other)
        other.status = 500
        for _ in range(3):
            with pytest.raises(Temporary, match="could not tell number 2"):
                notifier.notify(EVENT)
        other.status = 200
        notifier.notify(EVENT)
        assert (len(receiver.got), len(other.got)) == (1, 4)
        notifier.notify(EVENT)
        assert (len(receiver.got), len(other.got)) == (2, 5), "told once more, all hear it"
    finally:
        other.stop()


@pytest.mark.parametrize("url", [f"nonsense://{SECRET}", SECRET, f"https://shop.example/{SECRET}", "slack://x", ""])
def test_what_apprise_does_not_understand_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValidationError, match="number 1 is nothing that apprise understands") as error:
        AppriseSettings.model_validate({"urls": url})
    assert SECRET not in str(error.value)


def test_without_the_library_the_file_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ImportError):
        importlib.import_module("apprise")
    with pytest.raises(ValidationError, match=r"pip install 'greenroom\[apprise\]'"):
        AppriseSettings.model_validate({"urls": "json://shop.example/"})


# --- whoever drips ----------------------------------------------------------------------------------------------------


class QuickWebhook(WebhookNotifier):
    patience: ClassVar[Patience] = Patience(60.0, 0.8)


class QuickMail(EmailNotifier):
    timeout: ClassVar[float] = 60.0
    whole: ClassVar[float] = 0.8


class ImpatientMail(EmailNotifier):
    timeout: ClassVar[float] = 0.3


def test_an_answer_that_never_ends_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; the whole does not."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Dripping() as server:
        url = f"http://127.0.0.1:{server.port}/{SECRET}"
        with pytest.raises(Temporary, match=r"does not answer within 0\.8 s"):
            QuickWebhook(WebhookSettings.model_validate({"url": url}), PLACE).notify(EVENT)
    with Dripping(b"220 ") as server:
        settings = {
            "host": "127.0.0.1",
            "port": server.port,
            "security": "none",
            "from": "a@b.example",
            "to": "c@d.example",
        }
        with pytest.raises(Temporary, match=r"does not answer within 0\.8 s"):
            QuickMail(EmailSettings.model_validate(settings), PLACE).notify(EVENT)
    with Dripping(b"220 ", every=60.0) as server:
        silent = EmailSettings.model_validate({**settings, "port": server.port})
        with pytest.raises(Temporary, match=r"does not answer within 0\.3 s"):
            ImpatientMail(silent, PLACE).notify(EVENT)


def test_an_event_without_facts_is_told_in_plain_words() -> None:
    bare = Event("shop/1", "started", "shop", 0.0, "", "", "2.0 is being released")
    assert plain(bare) == "shop: 2.0 is being released\n\nTime:        1970-01-01 00:00:00 UTC\n"
