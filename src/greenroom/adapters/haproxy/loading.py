"""Making HAProxy read its files anew, which only changed settings need: checked before, proven after, undone if refused."""

from __future__ import annotations

import re
import shlex
import time

from greenroom.adapters.haproxy.layout import Layout
from greenroom.adapters.haproxy.runtime import Line, Live, Silent, look
from greenroom.adapters.haproxy.settings import HaproxySettings
from greenroom.ports import Host

_PROVEN_WITHIN = 4.0
_LOADED_BY_DEBIAN = "EXTRAOPTS"


def refusal_of_reload(host: Host, settings: HaproxySettings, layout: Layout, line: Line, shape: str) -> str:
    """Reload, and wait until the running process has this shape. Why it has not; "" if it has."""
    ran = host.run(["sh", "-c", settings.reload], timeout=10.0)
    if ran.code:
        return f"`{settings.reload}` failed: {_last(ran.out + ran.err) or f'exit status {ran.code}'}"
    deadline = time.monotonic() + _PROVEN_WITHIN
    while time.monotonic() < deadline:
        if (live := _look(line, layout)) and live.shape == shape:
            return ""
        time.sleep(0.02)
    return f"it runs on with the one before, {_PROVEN_WITHIN:g} s after `{settings.reload}`: its own log says why"


def _look(line: Line, layout: Layout) -> Live | None:
    try:
        return look(line, layout)
    except Silent:
        return None


def refusal_of_check(host: Host, settings: HaproxySettings, live: Live | None) -> str:
    """Why HAProxy would not start with the files that lie there now; "" if it would, or if that cannot be asked."""
    command = ["sh", "-c", settings.check] if settings.check else _own_check(host, live)
    if not command:
        return ""
    ran = host.run(command, timeout=10.0)
    return (_last(ran.out + ran.err) or f"exit status {ran.code}") if ran.code else ""


def _own_check(host: Host, live: Live | None) -> list[str]:
    """The program itself with the files of the running process. Not as anybody but root, who may read certificates."""
    words = arguments(host, live)
    files = [word for word in loaded(words) for word in ("-f", word)]
    if not all(word.startswith(("-f", "/")) for word in files):
        return []
    if not files or host.run(["id", "-u"]).out.strip() != b"0":
        return []
    return ["haproxy", "-c", *files] if host.run(["haproxy", "-v"]).code == 0 else []


def arguments(host: Host, live: Live | None) -> list[str]:
    """What the running process was started with; nothing if that cannot be seen (it is in a container)."""
    pid = live.incarnation.partition("-")[0] if live else ""
    raw = host.read(f"/proc/{pid}/cmdline") if pid else None
    words = [word.decode("utf-8", "replace") for word in (raw or b"").split(b"\0") if word]
    return words if words and "haproxy" in words[0] else []


def loaded(words: list[str]) -> list[str]:
    """The files and folders after `-f`, and after `--`."""
    found: list[str] = []
    take = False
    for number, word in enumerate(words[1:], 1):
        if word == "--":
            return [*found, *(rest for rest in words[number + 1 :] if rest)]
        if take:
            take = not word.startswith("-")
        if take:
            found.append(word)
        take = word == "-f" or take
    return found


def loads(words: list[str], layout: Layout) -> bool:
    """Whether our file is among them. Only whole paths can be judged."""
    folder = layout.file.rpartition("/")[0]
    return any(word.rstrip("/") in (layout.file, folder) for word in loaded(words))


def how_to_load(layout: Layout) -> str:
    folder = shlex.quote(layout.file.rpartition("/")[0])
    return (
        f'start it with another `-f {folder}` after its own (Debian: `{_LOADED_BY_DEBIAN}="-S /run/haproxy-master.sock '
        f'-f {folder}"` in /etc/default/haproxy, then `systemctl restart haproxy`)'
    )


def _last(said: bytes) -> str:
    """What HAProxy complains about, without the numbers of its processes."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    alerts = [line for line in lines if "[ALERT]" in line] or lines
    return re.sub(r"\[\w+\]\s*\(\d+\)\s*:\s*", "", alerts[0])[:500] if alerts else ""
