"""Changing the folder: the topology, which nginx must take over, and the link, which it follows by itself."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from greenroom.adapters.hosts.fenced import Change, Command, Folder, Gone, Link, Write, put
from greenroom.adapters.nginx.control import Nginx, error_logs, includes
from greenroom.adapters.nginx.probe import Foreign, Look, Seen, Silent, look
from greenroom.adapters.nginx.render import HTTP, Topology
from greenroom.adapters.nginx.settings import NginxSettings
from greenroom.adapters.nginx.shelf import MODES, REFUSED, TOKEN, Shelf
from greenroom.adapters.nginx.state import LIVE, STATES, made
from greenroom.adapters.told import Told
from greenroom.errors import Permanent, PortError, Temporary
from greenroom.ports import Host

_TAKEN_OVER_WITHIN = 5.0
"""nginx alone tries for 2.5 s to listen on an address that is taken, before it refuses."""
_LOOK_INTO_LOG_EVERY = 0.25
_KEPT_STATES = 20
_SWEEP = f"""cd {STATES} || exit 0
for s in $(ls | sort -n | head -n -{_KEPT_STATES}); do [ $s = off ] || rmdir $s/* $s; done 2>/dev/null; true"""
_TRY = f'"$@" >{REFUSED} 2>&1 && rm -f {REFUSED}'
_REASON = re.compile(r"\[emerg\] (?:\d+#\d+: )?(?:\*\d+ )?(.*)")


@dataclass
class Changer:
    settings: NginxSettings
    service: str
    host: Host
    nginx: Nginx

    def __post_init__(self) -> None:
        self.folder = self.settings.place(self.service)

    def look(self, token: str) -> Look:
        return look(self.host, self.settings.entrance, self.service, token)

    # the topology

    def become(self, wanted: Topology, shelf: Shelf, token: str, epoch: int, told: Sequence[Change]) -> None:
        """Until nginx runs this. `told`: is written with it, first. Changes nothing where it runs already.

        `Permanent` with nginx's own words if it refuses: the files are as they were then. Who did not run need not.
        """
        on_disk = all(shelf.files.get(name) == content for name, content in wanted.files.items())
        seen = self.look(token)
        if on_disk and (isinstance(seen, Silent) or (isinstance(seen, Seen) and seen.topology == wanted.revision)):
            return
        dump = self.nginx.dump()
        if isinstance(seen, Foreign) and not includes(dump, f"{self.settings.inside(self.service)}/{HTTP}"):
            raise not_included(self.settings, self.service, seen.what)
        before = self.nginx.workers(seen.pid) if isinstance(seen, Seen) else None
        logs = error_logs(dump)
        known = self.nginx.emergencies(logs)
        restore = _restore(shelf)
        test = Command(("sh", "-c", _TRY, "sh", *self.nginx.words("-t")), otherwise=restore)
        files = [Write(name, content, MODES[name]) for name, content in wanted.files.items()]
        # An earlier Greenroom may have left the folder of this state empty, by which these files would let nobody in.
        state = [made(shelf.state)] if shelf.state else []
        kept = *told, Write(TOKEN, token.encode()), *state
        try:
            put(self.host, self.folder, epoch, Folder(".", 0o755), *kept, *files, test)
        except Temporary:
            said = (self.host.read(f"{self.folder}/{REFUSED}") or b"").decode(errors="replace")
            if not said.strip():
                raise
            raise _refusal(_reason(said.splitlines())) from None
        self.nginx.reload()
        old = before.serving if before else frozenset[int]()
        trouble = self._wait(wanted.revision, token, old, logs, known)
        if isinstance(trouble, str):
            put(self.host, self.folder, epoch, *restore, Write(REFUSED, trouble.encode()))
            raise _refusal(trouble)
        if trouble is not None:
            raise trouble

    def _wait(
        self, revision: str, token: str, old: frozenset[int], logs: list[str], known: list[str]
    ) -> str | PortError | None:
        """None once it runs and no old worker takes requests; nginx's words if it refuses; an error where neither."""
        deadline = time.monotonic() + _TAKEN_OVER_WITHIN
        next_log = time.monotonic() + _LOOK_INTO_LOG_EVERY
        while time.monotonic() < deadline:
            seen = self.look(token)
            if isinstance(seen, Seen) and seen.topology == revision:
                now = self.nginx.workers(seen.pid) if old else None
                if now is None or not now.serving & old:
                    return None
            if time.monotonic() > next_log:
                next_log = time.monotonic() + _LOOK_INTO_LOG_EVERY
                said = [line for line in self.nginx.emergencies(logs) if line not in known]
                if any("bind() to" not in line for line in said):  # of those it says in the end that it gives up
                    return _reason(said)
            time.sleep(0.01)
        match self.look(token):
            case Silent(why):
                return Temporary(f"nginx does not answer at {self.settings.entrance.authority}: {why}")
            case Foreign(what):
                return not_included(self.settings, self.service, what)
        return Temporary("nginx was told to reload, and has not taken over the new configuration")

    # the switch

    def switch(self, told: Told, state: str, epoch: int, *changes: Change) -> None:
        """After these changes, one rename, done only while the fence stands. What it leads to is on the disk before."""
        sync = Command(("sh", "-c", f"sync {STATES} 2>/dev/null || sync"))
        link = made(state), sync, Link(LIVE, f"{STATES}/{state}")
        later: list[Change] = []
        if told.sequence % _KEPT_STATES == 0:
            later.append(Command(("sh", "-c", _SWEEP)))
        put(self.host, self.folder, epoch, *changes, *link, *later)


def _restore(shelf: Shelf) -> tuple[Change, ...]:
    return tuple(
        Write(name, shelf.files[name], mode) if name in shelf.files else Gone(name) for name, mode in MODES.items()
    )


def _reason(lines: Sequence[str]) -> str:
    """nginx's first word in it."""
    found = [match[1] for line in lines if (match := _REASON.search(line))]
    return (found or [line.strip() for line in lines if line.strip()] or ["it did not say why"])[0][:500]


def _refusal(words: str) -> Permanent:
    hint = "it goes on as before, and the files are as they were; mend that, then give the same command again"
    return Permanent(f"nginx refused the new configuration: {words}", hint=hint)


def not_included(settings: NginxSettings, service: str, what: str) -> Permanent:
    return Permanent(
        f"nginx answers at {settings.entrance.authority} with {what}, not by Greenroom's files",
        hint=" ".join(lines_to_include(settings, service)),
    )


def lines_to_include(settings: NginxSettings, service: str) -> list[str]:
    """What to add where, for people."""
    inside = settings.inside(service)
    lines = [f"in `http {{ }}` of nginx.conf (or as a file in conf.d/): `include {inside}/http.conf;`"]
    if settings.url:
        lines.append(
            f"in the `location` of {settings.url}, as its first line and instead of its `proxy_pass` and its "
            f"`proxy_set_header` lines: `include {inside}/route.conf;`"
        )
    lines.append("then `nginx -t` and `nginx -s reload`, once")
    return lines
