"""One backfill of one table, in batches, each with its checkpoint in the same transaction.

    sweep      behind the checkpoint, up to the key that was the highest at the start
    above      the rows that came since: whatever keeps both columns equal has filled them, if there is such a thing
    verify     every row up to the present top; if some differ, all of it again, a few times

A batch begins with the checkpoint, locked: what this process remembers counts for nothing. So it does not matter who goes
on after whom, and two at once take turns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from greenroom.adapters.database.backfill.grammar import Place
from greenroom.adapters.database.backfill.link import TOO_LONG, Link
from greenroom.adapters.database.backfill.pace import Meter, Pace, told
from greenroom.adapters.database.backfill.settings import BackfillSettings
from greenroom.adapters.database.backfill.throttle import Beats, Throttle
from greenroom.adapters.database.backfill.verifying import Still, Work, verify
from greenroom.adapters.database.ledger import Filling
from greenroom.adapters.database.running.tell import Tell
from greenroom.adapters.database.target import Broken
from greenroom.domain.schema import Stand

_SAID = 1.0
"""Seconds between two lines of progress."""
_REPEATED, _PAUSED = 15.0, 0.2
_QUOTED = re.compile(r": \".*\"$", re.DOTALL)
"""The value at the end of an error, which is nobody's business who reads a log."""


class Filler:
    """`fence` raises if somebody else is in charge by now."""

    def __init__(
        self, link: Link, work: Work, settings: BackfillSettings, tell: Tell, fence: Callable[[], None]
    ) -> None:
        self._link, self._work, self._settings, self._tell, self._fence = link, work, settings, tell, fence
        self._clock = link.clock
        self._pace = Pace(settings.batch_time, settings.max_batch, settings.share)
        self._meter = Meter(self._clock())
        self._beats = Beats()
        self._next_line = self._clock()
        self.throttle = Throttle([], self._clock)

    @property
    def beats(self) -> Beats:
        return self._beats

    def run(self) -> Still | None:
        """None: every row is as it should be, and the ledger says so."""
        row = self._link.keep(self._begun)
        if row.verified_at is not None:
            return None
        still = Still(0, [])
        for again in range(self._settings.sweeps):
            if again:
                self._tell(f"{self._work.shown}: {still.rows:,} rows still differ; once more from the start")
                self._link.keep(self._from_the_start)
            self._sweep()
            self._link.keep(self._to_the_top)
            self._sweep()
            still = verify(self._link, self._work, self._settings, self._tell_of, self._wait_if_told)
            if not still.rows:
                self._wait_for_copies()
                self._link.keep(self._verified)
                return None
        return still

    # --- batches ----------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        while True:
            self._wait_if_told()
            begun = self._clock()
            row, rows = self._link.keep(self._batch, self._smaller)
            seconds = self._clock() - begun
            self._meter.add(self._clock(), rows)
            self._progress(row)
            if _finished(row):
                return
            self._pace = self._pace.after(rows, seconds)
            self._link.sleep(self._pace.pause(seconds))

    def _smaller(self) -> None:
        self._pace = self._pace.blocked()

    def _batch(self) -> tuple[Filling, int]:
        """The row as it is then, and how many rows were gone through."""
        with self._transaction():
            row = self._locked()
            if _finished(row):
                return row, 0
            after, until = _place(row.at), _place(row.upper)
            page = self._work.statements.page(self._link.session, after, until, self._pace.batch)
            if page is None:
                row = self._put(replace(row, at=row.upper, of=row.rows))
                return row, 0
            end, rows = page
            self._fill(after, end)
            row = replace(row, at=json.dumps(end), rows=row.rows + rows, of=max(row.of, row.rows + rows))
            return self._put(row), rows

    def _fill(self, after: Place | None, until: Place) -> None:
        try:
            self._work.statements.batch(self._link.session, after, until)
        except Broken as error:
            if error.code == TOO_LONG:
                raise
            where = f"between the keys {'/'.join(after)} and" if after else "up to the key"
            raise Broken(
                f"{self._work.shown}: a row {where} {'/'.join(until)} is refused: {_QUOTED.sub('', error.message)}",
                code=error.code,
                hint=error.hint or "Put that row right, or change what it becomes; the next try goes on from there.",
            ) from error

    def _transaction(self) -> AbstractContextManager[None]:
        """Ours is the shorter patience: whoever meets our locks and we his, we give way. A single row may take its time."""
        limit = self._link.patience
        statement = limit * 0.8 if self._pace.batch > 1 else 0.0
        return self._link.session.transaction(lock_timeout=min(0.2, limit / 3), statement_timeout=statement)

    # --- the checkpoint ---------------------------------------------------------------------------------------

    def _begun(self) -> Filling:
        """The row, made where there is none: with the key that is the highest now."""
        session, ledger = self._link.session, self._link.ledger
        found = ledger.filling(self._work.name, self._work.number)
        if found is None:
            top = self._work.statements.top(session)
            of = self._work.server.estimate(session, self._work.table) if top else 0
            now = self._link.mark()
            row = Filling(
                self._work.name, self._work.number, None, _text(top), None, 0, of, self._pace.batch, Stand.RUNNING
            )
            ledger.new_filling(replace(row, begun_at=now, touched_at=now))
        with self._transaction():
            row = self._locked()
            self._pace = replace(self._pace, batch=row.batch)  # as big as the last runner's were at its end
            return self._put(row)

    def _from_the_start(self) -> None:
        with self._transaction():
            row = self._locked()
            if _finished(row) and row.verified_at is None:
                top = self._work.statements.top(self._link.session)
                self._put(replace(row, lower=None, at=None, upper=_text(top), rows=0))

    def _to_the_top(self) -> None:
        """From the end of the sweep to whatever is the highest key by now."""
        with self._transaction():
            row, top = self._locked(), _text(self._work.statements.top(self._link.session))
            if _finished(row) and row.verified_at is None and top not in (None, row.upper):
                self._put(replace(row, lower=row.upper, at=row.upper, upper=top))

    def _verified(self) -> None:
        with self._transaction():
            row = self._locked()
            self._put(replace(row, state=Stand.DONE, of=row.rows, verified_at=self._link.mark()))

    def _locked(self) -> Filling:
        row = self._link.ledger.filling(self._work.name, self._work.number, lock=True)
        assert row is not None, "rows of the ledger are never taken away"
        return row

    def _put(self, row: Filling) -> Filling:
        mark = self._link.mark()
        row = replace(row, touched_at=mark, batch=self._pace.batch, rate=self._meter.rate)
        self._link.ledger.put_filling(row)
        self._beats.left(mark, self._clock())
        return row

    # --- waiting ----------------------------------------------------------------------------------------------

    def _wait_if_told(self) -> None:
        said, repeat = "", 0.0
        while reason := self.throttle.reason():
            if self._due() and (not said or self._clock() >= repeat):
                self._tell(f"{self._work.shown}: paused: {reason}")
                said, repeat = reason, self._clock() + _REPEATED
            self._link.sleep(_PAUSED)
            self._link.keep(self._beat)

    def _wait_for_copies(self) -> None:
        """The new version may read from a replica; what is not there yet it would read as NULL."""
        while reason := self.throttle.lacking():
            self._tell_of(lambda: f"all is filled; waits until it is everywhere: {reason}")
            self._link.sleep(_PAUSED)

    def _beat(self) -> None:
        """A mark, so that replicas show when they have caught up."""
        self._meter.add(self._clock(), 0)
        with self._transaction():
            self._put(self._locked())

    def _progress(self, row: Filling) -> None:
        self._tell_of(lambda: told(row.rows, row.of, self._meter.rate))

    def _tell_of(self, text: Callable[[], str]) -> None:
        if self._due():
            self._tell(f"{self._work.shown}: {text()}")

    def _due(self) -> bool:
        """A line of progress; then it is also seen whether somebody else is in charge."""
        if self._clock() < self._next_line:
            return False
        self._next_line = self._clock() + _SAID
        self._fence()
        return True


def _finished(row: Filling) -> bool:
    return row.verified_at is not None or row.at == row.upper


def _place(text: str | None) -> Place | None:
    return None if text is None else tuple(json.loads(text))


def _text(place: Place | None) -> str | None:
    return None if place is None else json.dumps(place)
