"""An event as a mail: plain text and simple HTML, the same at every delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from greenroom.adapters.notifiers.wording import Told, cut, escaped, plain, rows, told
from greenroom.domain.model import Event

_SUBJECT = 200


def letter(event: Event, sender: str, to: Sequence[str], link: str = "") -> EmailMessage:
    """`Message-ID` names the event; the mails of one release belong together (`References`)."""
    it = told(event, link)
    domain = parseaddr(sender)[1].rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    message["Subject"] = cut(it.title, _SUBJECT)
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(datetime.fromtimestamp(event.at, UTC))
    message["Message-ID"] = f"<{_name(event.id, event.release, event.at)}@{domain}>"
    if event.release:
        message["References"] = f"<{_name(event.service, event.release)}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # no answers of absent people, please
    message["X-Greenroom-Event"] = event.id
    message.set_content(plain(event, link))
    message.add_alternative(html(it), subtype="html")
    return message


def html(it: Told) -> str:
    """Tables and little else: mail programs know no more."""
    cell = "padding:2px 16px 2px 0;text-align:left;vertical-align:top"
    lines = [f'<p style="font-size:17px;color:{it.tint}"><b>{it.mark} {escaped(it.title)}</b></p>']
    if it.sides:
        heads = "".join(f'<th style="{cell}">{escaped(side.title)}</th>' for side in it.sides)
        lines += ["<table>", f'<tr><th style="{cell}"></th>{heads}</tr>']
        for name, *values in rows(it.sides):
            cells = "".join(f'<td style="{cell}">{escaped(value)}</td>' for value in values)
            lines.append(f'<tr><th style="{cell};font-weight:normal">{escaped(name)}</th>{cells}</tr>')
        lines.append("</table>")
    if it.evidence:
        lines.append(f"<pre>{escaped(chr(10).join(it.evidence))}</pre>")
    pairs = [(name, escaped(value)) for name, value in it.facts]
    pairs += [(f"<code>{escaped(command)}</code>", escaped(does)) for command, does in it.ways]
    if it.link:
        address = escaped(it.link).replace('"', "%22")
        pairs.append(("Picture", f'<a href="{address}">{address}</a>'))
    lines += ["<hr><table>"]
    lines += [f'<tr><td style="{cell}">{name}</td><td style="{cell}">{value}</td></tr>' for name, value in pairs]
    body = "\n".join([*lines, "</table>"])
    return f'<html><body style="font-family:sans-serif;font-size:14px;color:#1a202c">\n{body}\n</body></html>\n'


def _name(*parts: object) -> str:
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:32]
