"""The notifier `slack`: an incoming webhook of Slack's, in blocks; or of a server that understands Slack's older form."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from greenroom.adapters.notifiers.posting import Patience, post
from greenroom.adapters.notifiers.settings import Linked, SecretAddress
from greenroom.adapters.notifiers.wording import Side, Told, cut, cut_escaped, escaped, rows, told
from greenroom.domain.model import Event
from greenroom.ports import Place

HEADER, TEXT, FIELDS = 150, 3000, 10
"""What Slack takes at most: characters of a header, of a section; fields of a section, which are short here."""

_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
_PATH = re.compile(r"/services/T[A-Za-z0-9_]+/B[A-Za-z0-9_]+/[A-Za-z0-9_]+")
_LIKE = "an address like https://hooks.slack.com/services/T…/B…/…"

REASONS = {
    "no_service": "The webhook was removed: make a new one in Slack and put its address into the file.",
    "no_active_hooks": "The webhook is switched off: switch it on in Slack, or make a new one.",
    "no_team": "The workspace is not there any more: make a webhook in another one.",
    "team_disabled": "The workspace is not there any more: make a webhook in another one.",
    "invalid_token": "The address is not complete, or was replaced: copy it from Slack again.",
    "channel_not_found": "The channel is not there any more: make a webhook for another one.",
    "channel_is_archived": "The channel is archived: open it again, or make a webhook for another one.",
    "action_prohibited": "An administrator of the workspace does not let this webhook post there.",
    "posting_to_general_channel_denied": "Only few may post to this channel: make a webhook for another one.",
    "user_not_found": "The person whom it writes to is not there any more: make a webhook for a channel.",
    "invalid_payload": "What it was sent is no message to it; is it a server of another kind? `compatible: true`.",
    "invalid_blocks": "It does not take the message's blocks; is it a server of another kind? `compatible: true`.",
    "no_text": "It does not take blocks; is it a server of another kind? `compatible: true`.",
}


class SlackSettings(Linked):
    compatible: bool = Field(
        default=False,
        description="The address is of another server that takes Slack's messages: Mattermost, Rocket.Chat, Discord "
        "(its address with `/slack` at the end). It gets attachments, which they know, instead of blocks.",
    )
    url: SecretAddress = Field(
        description="The address of an incoming webhook, best as `${NAME}`: whoever knows it can post there."
    )

    @field_validator("url")
    @classmethod
    def _slack(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        if not info.data.get("compatible") and (wrong := _not_slack(url)):
            raise ValueError(wrong)
        return url


def _not_slack(url: SecretStr) -> str:
    """Why this is no incoming webhook of Slack's; never with the address."""
    parts = urlsplit(url.get_secret_value())
    if parts.hostname not in _HOSTS:
        return (
            f"is no webhook of Slack's, which is {_LIKE}; for a server that takes the same messages (Mattermost, "
            "Rocket.Chat, Discord) add `compatible: true`; for any other, `type: webhook`"
        )
    if parts.scheme != "https":
        return f"begins with http://, which would show it to everybody on the way; a webhook of Slack's is {_LIKE}"
    if parts.path.startswith(("/workflows/", "/triggers/")):
        return f"starts a workflow, which takes no messages; make an incoming webhook: {_LIKE}"
    if not _PATH.fullmatch(parts.path.rstrip("/")):
        return f"is not the whole address; a webhook of Slack's is {_LIKE}"
    return ""


class SlackNotifier:
    """`ports.Notifier`. Slack has no key for de-duplication; the event's id stands in the last line of the message."""

    Settings: ClassVar[type[SlackSettings]] = SlackSettings
    patience: ClassVar[Patience] = Patience()

    def __init__(self, settings: SlackSettings, place: Place) -> None:
        self._settings = settings
        self.name = settings.name or "slack"
        self.on: frozenset[str] | None = settings.kinds

    def notify(self, event: Event) -> None:
        """`Temporary` (with the pause that Slack asks for) or `Permanent`, with what Slack says and what to do."""
        who = f"Slack ({self._settings.name})" if self._settings.name else "Slack"
        link = self._settings.link_for(event)
        document = attachments(event, link) if self._settings.compatible else blocks(event, link)
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": event.id}
        url = self._settings.url.get_secret_value()
        post(who, url, json.dumps(document).encode(), headers, self.patience, REASONS)


def blocks(event: Event, link: str = "") -> dict[str, Any]:
    """The message for Slack. `text` is what its notifications on a phone show."""
    it = told(event, link)
    header = _header(f"{it.mark} {it.title}")
    made: list[dict[str, Any]] = [header]
    if header["text"]["text"].endswith("…"):
        made.append(_section(cut_escaped(event.text, TEXT)))
    if it.sides:
        made.append(_fields([_numbers(side, it.sides) for side in it.sides]))
    if it.facts:
        made.append(_fields([f"*{escaped(name)}*\n{cut_escaped(value, 300)}" for name, value in it.facts]))
    if it.evidence:
        made.append(_section(f"```{cut_escaped(chr(10).join(it.evidence), TEXT - 6)}```"))
    if it.ways or it.link:
        made.append(_section(_foot(it)))
    when = f"<!date^{int(event.at)}^{{date_short_pretty}} {{time_secs}}|{int(event.at)}>"
    made.append({"type": "context", "elements": [_mrkdwn(f"{cut_escaped(event.id, 200)} · {when}")]})
    return {"text": cut_escaped(f"{it.mark} {it.title}", TEXT), "blocks": made}


def attachments(event: Event, link: str = "") -> dict[str, Any]:
    """The message in Slack's older form, which other servers took over."""
    it = told(event, link)
    fields = [{"title": side.title, "value": _numbers(side, it.sides, head=False), "short": True} for side in it.sides]
    fields += [{"title": name, "value": cut_escaped(value, 300), "short": True} for name, value in it.facts]
    lines = [f"```\n{cut_escaped(chr(10).join(it.evidence), TEXT)}\n```"] if it.evidence else []
    lines += [_foot(it)] if it.ways or it.link else []
    text = cut_escaped(f"{it.mark} {it.title}", TEXT)
    attachment = {"color": it.tint, "fallback": text, "text": "\n".join(lines), "fields": fields, "footer": event.id}
    return {"text": text, "attachments": [{**attachment, "ts": int(event.at)}]}


def _numbers(side: Side, both: tuple[Side, ...], *, head: bool = True) -> str:
    """One column; every row is in both, so that they stand side by side."""
    column = next(i for i, one in enumerate(both, 1) if one is side)
    lines = [f"*{escaped(side.title)}*"] if head else []
    lines += [f"{escaped(row[0])}: {escaped(row[column])}" for row in rows(both)]
    return "\n".join(lines)


def _foot(it: Told) -> str:
    lines = [f"`{cut_escaped(command, 100)}` {cut_escaped(does, 200)}" for command, does in it.ways[:5]]
    lines += [f"<{escaped(it.link)}|Picture and details>"] if it.link else []
    return "\n".join(lines)


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": cut(text, HEADER), "emoji": True}}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text)}


def _fields(texts: list[str]) -> dict[str, Any]:
    return {"type": "section", "fields": [_mrkdwn(text) for text in texts[:FIELDS]]}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}
