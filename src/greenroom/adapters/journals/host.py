"""A journal in a folder of any machine, kept by nothing but a shell there: it lives with the traffic."""

from __future__ import annotations

import bisect
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from greenroom.adapters.journals import lines
from greenroom.adapters.journals import script as scripts
from greenroom.adapters.journals.lines import Mark
from greenroom.adapters.journals.machine import Machine, this_machine
from greenroom.adapters.journals.script import Sources, script
from greenroom.domain.records import Entry, Record
from greenroom.errors import (
    Conflict,
    JournalCorrupt,
    JournalMissing,
    JournalNewer,
    JournalUnusable,
    LeaseLost,
    PortError,
    Uncertain,
    UsageError,
)
from greenroom.ports import Host, Lease, Owner, Ran

WITHIN = 8.0
_NOTHING = 1 << 60
"""Of the entries: an offset that no journal reaches."""
SAFE = "The traffic is not affected."


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a script says of the journal, at the instant when it held the lock (or read the head). Times: seconds."""

    now: float
    id: str
    service: str
    mark: Mark
    epoch: int
    lease: Lease | None
    did: str
    data: bytes


class HostJournal:
    """`ports.Journal` in a folder of a host, which needs a shell, coreutils and flock. Safe for threads.

    Each call goes once to the host; `read` fetches what is new only. An append that raised `JournalUnusable` is whole or
    absent: read before repeating it. The clock is the host's time since its boot, anchored to its wall clock once a boot.
    `machine`: what this machine knows of time and of who lives.
    """

    def __init__(
        self,
        host: Host,
        folder: str,
        *,
        service: str = "",
        create: bool = True,
        machine: Machine | None = None,
        sources: Sources | None = None,
    ) -> None:
        self._host, self._folder = host, folder
        self._where = f"{folder} on {host.name}" if host.name else folder
        self._machine, self._sources = machine or this_machine(), sources or Sources()
        self._lock = Lock()
        self._id, self._ahead = "", float("-inf")
        self._dead = ""
        self._marks: list[Mark] = []
        named = json.dumps(service)
        found = self._ask("make", fresh=secrets.token_hex(16), named=named) if create else self._look(_NOTHING)
        self._id = found.id
        self._marks.append(Mark(0, 0, found.id))
        if service and found.service and service != found.service:
            raise UsageError(
                f"{self._where} is the journal of the service {found.service!r}, not of {service!r}.",
                hint="Give each service a folder of its own (`state:` of the host).",
            )

    def close(self) -> None:
        """Nothing is held: the connection is the host's."""

    def read(self, after: int = 0) -> Sequence[Entry]:
        with self._lock:
            mark = self._marks[bisect.bisect_right(self._marks, after, key=lambda mark: mark.seq) - 1]
        found = self._look(mark.offset)
        try:
            entries, marks = lines.read(found.data, mark)
        except JournalCorrupt as error:
            raise self._damaged(error.message) from None
        except JournalUnusable as error:
            raise type(error)(f"{self._where}, {error.message}", hint=error.hint) from None
        if (marks[-1] if marks else mark) != found.mark:
            raise self._damaged("entries are missing")
        with self._lock:
            self._marks += [fresh for fresh in marks if fresh.seq > self._marks[-1].seq]
        return [entry for entry in entries if entry.seq > after]

    def append(self, records: Sequence[Record], *, expected: int, epoch: int | None = None) -> Sequence[Entry]:
        text = lines.written(records)
        under = "" if epoch is None else epoch
        found = self._ask("append", under=under, expected=expected, count=len(records), records=text)
        if found.did == "lost":
            held = found.lease
            whose = f"{held.owner.text} holds epoch {held.epoch}" if held is not None else "nobody holds it"
            raise LeaseLost(f"The lease of epoch {epoch} is not the current one; {whose}.")
        if found.did == "late":
            raise Conflict(f"The journal is at {found.mark.seq}, not at {expected}.")
        stored = lines.records(text)
        return [Entry(seq, found.now, epoch or 0, record) for seq, record in enumerate(stored, start=expected + 1)]

    def claim(self, owner: Owner, ttl: float, *, why: str = "", force: bool = False) -> Lease:
        told: dict[str, str | int] = {
            "mine": json.dumps(owner.identity),
            "me": json.dumps(asdict(owner)),
            "ttl": max(0, round(ttl * 1000)),
            "reason": json.dumps(why) if why else "",
            "force": int(force),
        }
        found = self._ask("claim", **told, dead=self._dead)
        if found.did == "held" and found.lease is not None and self._machine.alive(found.lease.owner) is False:
            self._dead = json.dumps(found.lease.owner.identity)
            found = self._ask("claim", **told, dead=self._dead)
        if found.lease is not None:
            return found.lease
        return Lease(owner, found.epoch, found.now, found.now, why)  # given back, or there was nothing to give back

    def holder(self) -> Lease | None:
        found = self._look(_NOTHING)
        lease = found.lease
        if lease is None or lease.expires <= found.now or self._machine.alive(lease.owner) is False:
            return None
        return lease

    def now(self) -> float:
        """Never ahead of the host by more than both clocks drift apart, never behind what was stamped there."""
        with self._lock:
            return self._machine.steady() + self._ahead

    # The host

    def _look(self, start: int) -> _Answer:
        return self._ask("look", **{"from": start})

    def _ask(self, action: str, **told: str | int) -> _Answer:
        text = script(self._folder, action, {"known": self._id, **told}, self._sources)
        try:
            ran = self._host.run(["sh", "-s"], stdin=text.encode("ascii"), timeout=WITHIN)
        except Uncertain as error:
            what = "" if action == "look" else " It may have been written: it is read before anything is repeated."
            raise JournalUnusable(
                f"The journal {self._where} did not answer: {error.message}.{what}", hint=SAFE
            ) from error
        except PortError as error:
            raise JournalUnusable(f"The journal {self._where}: {error.message}.", hint=error.hint or SAFE) from error
        if ran.code not in (0, scripts.LOST, scripts.CONFLICT):
            raise self._trouble(ran)
        found = self._answer(ran.out)
        with self._lock:
            self._ahead = max(self._ahead, found.now - self._machine.steady())
        return found

    def _answer(self, out: bytes) -> _Answer:
        head, _, data = out.partition(b"\ndata\n")
        try:
            said = dict(line.split(" ", 1) for line in head.decode().split("\n"))
            mark = Mark(int(said["seq"]), int(said["size"]), said["sum"])
            service = json.loads(said["service"]) if said["service"] else ""
            return _Answer(
                int(said["now"]) / 1000, said["id"], service, mark, int(said["epoch"]), _lease(said), said["did"], data
            )
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"its head: {error}") from None

    def _trouble(self, ran: Ran) -> JournalUnusable:
        said = (ran.err.decode("utf-8", "replace").strip().splitlines() or [f"exit status {ran.code}"])[-1]
        match ran.code:
            case scripts.MISSING:
                return JournalMissing(f"There is no journal at {self._where}: nothing was ever recorded here.")
            case scripts.DAMAGED:
                return self._damaged(said)
            case scripts.NEWER:
                return JournalNewer(
                    f"The journal {self._where} has format {said}, of a newer Greenroom; this one knows {scripts.FORMAT}.",
                    hint=f"{SAFE} Use the Greenroom that wrote it, or a newer one.",
                )
            case scripts.REPLACED:
                return JournalUnusable(
                    f"The journal {self._where} was replaced while it was in use.",
                    hint=f"{SAFE} This process must end; the next one uses what stands there now.",
                )
            case scripts.BUSY:
                return JournalUnusable(
                    f"The journal {self._where} is locked by another process there.",
                    hint=f"{SAFE} `fuser -v {self._folder}/lock` names it; ending it does no harm to a journal.",
                )
            case scripts.FULL:
                return JournalUnusable(
                    f"The journal {self._where} cannot be written: the disk is full.",
                    hint=f"{SAFE} Free some space there; nothing else is needed.",
                )
        return JournalUnusable(f"The journal {self._where} cannot be used: {said}.", hint=f"{SAFE} {self._right()}")

    def _right(self) -> str:
        return f"Who Greenroom works as there must own {self._folder} and what is in it."

    def _damaged(self, detail: str) -> JournalCorrupt:
        return JournalCorrupt(
            f"The journal {self._where} is damaged, or not a journal: {detail.rstrip('.')}.",
            hint=f"{SAFE} Put it aside there to begin a new one: mv {self._folder} {self._folder}.broken",
        )


def _lease(said: Mapping[str, str]) -> Lease | None:
    if not said["owner"]:
        return None
    owner: Any = Owner(**json.loads(said["owner"]))
    why = json.loads(said["why"]) if said["why"] else ""
    return Lease(owner, int(said["epoch"]), int(said["since"]) / 1000, int(said["expires"]) / 1000, why)
