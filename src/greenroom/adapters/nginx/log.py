"""The log of requests: one line each, of times and statuses only; read on from where it was read to.

Who asked and where it went stand in it too: counted are users' requests that were sent on, no tests, and no probes.

It is renamed away when it is large, so that it stays small; whoever reads it finishes the old one first.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from greenroom.adapters.nginx.control import Nginx
from greenroom.adapters.nginx.render import REQUESTS
from greenroom.adapters.nginx.state import ANY, TEST, USERS
from greenroom.domain.figures import Figures
from greenroom.domain.model import Colour
from greenroom.errors import Permanent, Temporary
from greenroom.ports import Host

LIMIT = 8 * 1024 * 1024
"""Bytes: more is renamed away, and more is not read at once."""
BOUNDS = tuple(
    float(f"{mantissa * 10**power:g}") for power in range(5) for mantissa in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
)
"""Of the histogram, in ms."""

_READ = """
exec 3<"$1" || exit 4
set -- "$2" "$3" "$4" $(stat -L -c '%d:%i %s' /proc/self/fd/3)
first=$(head -c 100 <"/proc/self/fd/3" | head -n 1)
start=$2
if [ "$1" != "$4 $first" ] || [ "$5" -lt "$start" ]; then start=0; fi
if [ $(($5 - start)) -gt "$3" ]; then start=$(($5 - $3)); fi
printf '%s\\n%s\\n' "$4 $first" "$start"
exec tail -c "+$((start + 1))" <"/proc/self/fd/3"
"""
_ROTATE = 'cd "$1" && [ "$(stat -c %s "$2")" -gt "$3" ] && mv -f "$2" "$2.1"'


@dataclass
class Tally:
    """What one colour's users met, so far."""

    statuses: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, status: str, ms: float) -> None:
        self.statuses[status] += 1
        self.errors += status >= "500"
        self.buckets[bisect.bisect_left(BOUNDS, ms)] += 1

    @property
    def figures(self) -> Figures:
        counts = itertools.accumulate(self.buckets)
        return Figures(
            self.statuses.total(),
            self.errors,
            dict(self.statuses),
            tuple(zip((*BOUNDS, math.inf), counts, strict=True)) if self.statuses else (),
        )


@dataclass
class Reader:
    """`identity`: of the file that was read last; `at`: up to which byte. `incarnation`: of the count in `tallies`."""

    host: Host
    path: str
    identity: str = ""
    at: int = 0
    incarnation: str = ""
    rest: bytes = b""
    tallies: dict[Colour, Tally] = field(default_factory=dict)

    def read(self) -> None:
        """Everything that was written since. `Temporary` where there is no log."""
        identity, start, content = self._piece(self.path)
        # Of an empty file, the first line was not known yet.
        if not self.identity or start != self.at or not identity.startswith(self.identity):
            if not self._finish_old():
                self.tallies, self.incarnation = {colour: Tally() for colour in Colour}, f"{identity} {start}"
            self.rest = b""
            if start:  # begun in the middle of a line
                start, content = start + content.find(b"\n") + 1, content.partition(b"\n")[2]
        self._take(identity, start, content)

    def _finish_old(self) -> bool:
        """The one that we read was renamed away: what was written to it meanwhile counts, and the count goes on."""
        if not self.identity:
            return False
        try:
            identity, start, content = self._piece(f"{self.path}.1")
        except Temporary:
            return False
        if (identity, start) != (self.identity, self.at):
            return False
        self._take(identity, start, content)
        return True

    def _piece(self, path: str) -> tuple[str, int, bytes]:
        """What the file is now, and its content from where we were in it; from its beginning if it is another one."""
        words = ["sh", "-c", _READ, "sh", path, self.identity, str(self.at), str(LIMIT)]
        ran = self.host.run(words)
        if ran.code:
            said = ran.err.decode(errors="replace")
            if "ermission denied" in said:
                raise Permanent(
                    f"{path} may not be read by us", hint="let Greenroom's user read it, and enter its folder"
                )
            raise Temporary(f"nothing can be measured: {path} cannot be read: nginx writes it once it was reloaded")
        identity, start, content = ran.out.split(b"\n", 2)
        return identity.decode(errors="replace"), int(start), content

    def _take(self, identity: str, start: int, content: bytes) -> None:
        self.identity, self.at = identity, start + len(content)
        lines, _, self.rest = (self.rest + content).rpartition(b"\n")
        for line in lines.split(b"\n"):
            who, to, *answered = sent_on(line)
            if who == USERS and to in self.tallies:
                self.tallies[Colour(to)].add(answered[0], latency(*answered[1:]))


def sent_on(line: bytes) -> list[str]:
    """Who asked, where it was sent, status and times, of a request that was; "" for both if it was not."""
    fields = line.decode("ascii", "replace").split("\t")
    if len(fields) != 6 or fields[4] == "-":
        return ["", ""]
    if fields[0] not in (USERS, TEST, ANY):
        # Until the next deploy nginx has the files of an earlier Greenroom: a time stands there, tests do not at all.
        fields[0] = ANY if fields[1] == "nobody" else USERS
    return fields


def latency(headers: str, responses: str, whole: str) -> float:
    """Milliseconds until the first byte of the answer, with what was lost on replicas that did not answer."""
    try:
        *lost, last = zip(_times(headers), _times(responses), strict=True)
        if last[0] is not None:
            return 1000 * (last[0] + sum(took or 0.0 for _, took in lost))
    except ValueError:
        pass
    return 1000 * float(whole)


def _times(text: str) -> list[float | None]:
    """Seconds, one for each replica that was asked; None for `-`."""
    return [None if one == "-" else float(one) for one in text.replace(" : ", ", ").split(", ")]


def rotate(host: Host, folder: str, nginx: Nginx) -> None:
    """Renamed away if it is large; nginx opens a new one."""
    if host.run(["sh", "-c", _ROTATE, "sh", folder, REQUESTS, str(LIMIT)]).code == 0:
        nginx.reopen()


def lost_are_counted(lines: Iterable[bytes]) -> bool:
    """Whether a request without an answer is among these."""
    return any(sent_on(line)[0] == ANY for line in lines)
