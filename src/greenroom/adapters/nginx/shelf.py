"""Greenroom's folder on nginx's machine.

told.json        spec, epoch, revision, and what each file must contain; written first, so that it is known after
                 any crash what was meant
http.conf        included at the level of `http`; holds the token, so only its owner may read it
route.conf       included in the `location`
log.conf         the access logs; included by route.conf, and by whoever has a location for error pages
live             the link that leads to a state: to replace it is to switch
states/NAME      folders whose name is the state; in them, an empty one for each of those who are let in
log/             the log that the analyser reads
token            who knows it gets an answer from the running nginx
refused          nginx's own words, if it refused the last topology
epoch, lock      the fence (`hosts.fenced`)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from greenroom.adapters.nginx.render import HTTP, LOG, ROUTE
from greenroom.adapters.nginx.state import LIVE, STATES
from greenroom.adapters.told import Told, Unreadable, digest, loads
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Host

TOLD, TOKEN, REFUSED, EPOCH = "told.json", "token", "refused", "epoch"
CONFIGURATION = (HTTP, ROUTE, LOG)
MODES = {HTTP: 0o600, ROUTE: 0o644, LOG: 0o644}

_NAMES = (TOLD, *CONFIGURATION, TOKEN, REFUSED, EPOCH)
_READ = f"""
LC_ALL=C; export LC_ALL
cd "$1" 2>/dev/null || {{ ls -d -- "$1/." >/dev/null; exit 4; }}
readlink {LIVE} || echo
exec tail -v -c +1 {" ".join(_NAMES)}
"""
_MARK = re.compile(rb"(?:\A|\n)==> (" + b"|".join(re.escape(name.encode()) for name in _NAMES) + rb") <==\n")
_MAKE = f'umask 022; mkdir -p -- "$1/{STATES}" "$1/log"'


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder as it is. `there`: it exists. `trouble`: why what was told cannot be known."""

    there: bool = False
    told: Told | None = None
    trouble: str = ""
    link: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def token(self) -> str:
        return self.files.get(TOKEN, b"").decode(errors="replace").strip()

    @property
    def refused(self) -> str:
        return self.files.get(REFUSED, b"").decode(errors="replace").strip()

    @property
    def epoch(self) -> int:
        text = self.files.get(EPOCH, b"").strip()
        return int(text) if text.isdigit() else 0

    @property
    def state(self) -> str:
        """The name that the link leads to."""
        folder, _, name = self.link.rpartition("/")
        return name if folder == STATES else ""

    def digest(self, name: str) -> str:
        """ "" if it is not there."""
        return digest(self.files[name]) if name in self.files else ""

    def compare(self, told: Told) -> tuple[list[str], list[str]]:
        """What still is as it was before the telling, and what was never ours: files, and the link."""
        unfinished: list[str] = []
        strange: list[str] = []
        marks = {name: (self.digest(name), *mark) for name, mark in told.extra.get("files", {}).items()}
        marks[LIVE] = (self.state, *told.extra.get("state", ("", "")))
        for name, (here, wanted, before) in marks.items():
            if here == wanted:
                continue
            (unfinished if here == before else strange).append(name)
        return unfinished, strange


def read(host: Host, folder: str) -> Shelf:
    """One command. `Permanent` if we may not read what is there."""
    ran = host.run(["sh", "-c", _READ, "sh", folder])
    said = ran.err.decode(errors="replace").strip()
    on = f" on {host.name}" if host.name else ""
    if "ermission denied" in said:
        hint = (
            f"run Greenroom as the user to whom it belongs, or give it to this one{on}: `sudo chown -R USER {folder}`"
        )
        raise Permanent(f"{folder}{on} may not be read by us", hint=hint)
    if ran.code == 4:
        return Shelf()
    link, _, rest = ran.out.partition(b"\n")
    pieces = _MARK.split(rest)
    files = {name.decode(): content for name, content in zip(pieces[1::2], pieces[2::2], strict=True)}
    told, trouble = None, ""
    if TOLD in files:
        try:
            told = loads(files[TOLD], f"{folder}/{TOLD}")
        except Unreadable as error:
            trouble = str(error)
    return Shelf(True, told, trouble, link.decode(errors="replace").strip(), files)


def make(host: Host, folder: str) -> None:
    """The folder, so that nginx's workers can enter it."""
    ran = host.run(["sh", "-c", _MAKE, "sh", folder])
    if ran.code == 0:
        return
    said = ran.err.decode(errors="replace").strip().rpartition("\n")[2] or f"exit status {ran.code}"
    on = f" on {host.name}" if host.name else ""
    if "ermission denied" in said or "Read-only" in said:
        hint = (
            f"make it for Greenroom's user{on}: `sudo install -d -o USER -m 755 {folder}`; or name another in `folder`"
        )
        raise Permanent(f"{folder} cannot be made{on}: {said}", hint=hint)
    raise Temporary(f"{folder} cannot be made{on}: {said}")
