"""The work on the database goes on in the background, and is found again after our own death.

A job has a folder (`adapters.shell.Job`) and, beside it, what was asked (`.ask.json`) and what it came to
(`.answer.json`). The settings, with the password in them, are handed over in the environment only.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from greenroom.adapters.database.settings import DatabaseSettings
from greenroom.adapters.shell import Job, boot, bound, last_lines, reap
from greenroom.domain.model import Document, Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.schema import Order, Stage
from greenroom.errors import Temporary, Uncertain

SETTINGS = "GREENROOM_MIGRATIONS"
"""The variable of the job's environment."""
AGAIN, GRACE, STARTS = 0.3, 3.0, 5
TOLD_EVERY = 5.0
"""Seconds from one sentence of progress in the journal to the next."""
_LOG_LIMIT, _PATIENCE = 20_000_000, 4.0
_PROGRAM = "greenroom.adapters.database"


@dataclass(frozen=True, slots=True)
class Ask:
    """What a job is to do. `folder`: of the migrations; `shown`: that as people call it."""

    stage: Stage
    order: Order
    folder: str
    shown: str

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Ask:
        return cls(
            Stage(document["stage"]), Order(**document["order"]), str(document["folder"]), str(document["shown"])
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What it came to. `outdated`: somebody acted under a newer lease, and whoever has that one may begin anew."""

    finding: Finding
    epoch: int
    outdated: bool = False

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Answer:
        finding = document["finding"]
        made = Finding(
            Verdict(finding["verdict"]),
            finding["reason"],
            finding["again_after"],
            finding["memo"],
            tuple(finding["evidence"]),
        )
        return cls(made, document["epoch"], document["outdated"])


class Work:
    """The job of one stage of one release. `log`: what it says while it works. `program`: the module that works."""

    def __init__(self, folder: Path, log: Path, program: str = _PROGRAM) -> None:
        self._job, self._log, self._program = Job(folder), log, program
        self._ask, self.answer_file = folder.with_suffix(".ask.json"), folder.with_suffix(".answer.json")

    def advance(self, ask: Ask, settings: DatabaseSettings, directory: Path, memo: Document | None) -> Finding:
        """Begins it, or looks how far it is."""
        reap()
        kept = (memo or {}).get("starts")
        starts = kept if isinstance(kept, int) else 0
        who = self._job.found()
        if who is None:
            return self._start(ask, settings, directory, starts)
        ours = (memo or {}).get("epoch") == ask.order.epoch or _overtaken(ask.order, settings)
        alive, code = who.alive, self._job.code()  # in this order: what has ended before has written its code by now
        if code is None and alive:
            bound(self._log, _LOG_LIMIT)
            lines = last_lines(self._log, 1)
            when = int(ask.order.now // TOLD_EVERY)  # the words are kept only when the memo changes
            said = lines[0] if lines else "begins"
            known = {"epoch": ask.order.epoch} if ours else {}
            return Finding(Verdict.WAIT, said, AGAIN, {"starts": starts, "told": when, **known})
        answer = self._answer()
        if answer is None:
            return self._lost(ask, settings, directory, starts, began=self._job.begun and who.boot == boot(), code=code)
        self.forget()
        if answer.outdated and answer.epoch < ask.order.epoch:
            return self._start(ask, settings, directory, starts)
        return answer.finding

    def withdraw(self) -> None:
        self._job.end(GRACE)
        self.forget()

    def forget(self) -> None:
        self._job.end(0.0)
        self._job.forget()
        for file in (self._ask, self.answer_file):
            file.unlink(missing_ok=True)

    def _start(self, ask: Ask, settings: DatabaseSettings, directory: Path, starts: int) -> Finding:
        # -P: what lies in the service's folder is not taken for a module of ours.
        command = f"exec {shlex.quote(sys.executable)} -P -m {self._program} {shlex.quote(str(self._ask))}"
        environment = {**os.environ, SETTINGS: settings.model_dump_json()}
        try:
            self.answer_file.unlink(missing_ok=True)
            self._ask.parent.mkdir(parents=True, exist_ok=True)
            write(self._ask, ask.document() | {"answer": str(self.answer_file)})
            self._log.unlink(missing_ok=True)
            self._job.start(f"{command} 2>&1", directory=directory, environment=environment, output=self._log)
        except (OSError, ValueError) as error:
            raise Temporary(f"the work on the database cannot be started: {error}") from error
        return Finding(Verdict.WAIT, "begins", AGAIN, {"starts": starts + 1, "epoch": ask.order.epoch})

    def _lost(
        self, ask: Ask, settings: DatabaseSettings, directory: Path, starts: int, *, began: bool, code: int | None
    ) -> Finding:
        """It ended without a word: killed, or the machine was. What it did is in the ledger, so it is begun again."""
        lines = last_lines(self._log)
        self.forget()
        if not began or starts < STARTS:
            return self._start(ask, settings, directory, starts)
        how = f"exit code {code}" if code is not None else "killed"
        return Finding(
            Verdict.FAIL,
            f"the work on the database ended {starts} times without an answer ({how}; its output is in {self._log});"
            " what it has done stays done",
            evidence=lines,
        )

    def _answer(self) -> Answer | None:
        try:
            return Answer.read(json.loads(self.answer_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _overtaken(order: Order, settings: DatabaseSettings) -> bool:
    """The ledger knows this lease, so that what was begun under an older one is refused its next write, wherever it runs.

    False: it could not be told now. `Permanent` if ours is the older one.
    """
    from greenroom.adapters.database.contracting import lock
    from greenroom.adapters.database.ledger import Ledger
    from greenroom.adapters.database.target import of

    try:
        session = of(settings.url).open("lease", patience=_PATIENCE)
        try:
            ledger = Ledger(session, order.service)
            if not ledger.made:
                return False
            lock.overtake(ledger, order)
            return True
        finally:
            session.close()
    except (Temporary, Uncertain):
        return False


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all, for its owner only."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
