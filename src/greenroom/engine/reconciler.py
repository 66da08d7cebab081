"""The loop of one service, one turn at a time: lease, replay, look, decide, write the intent, act, write the result.

`Reconciler.step()` is one turn. It has no threads of its own and no memory that a crash could lose: what a new one
needs is in the journal and in the world. What it remembers is only how long to hold back from what failed or changed
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from greenroom.domain.actions import Action, Ask, Decision, Do, Move, Note, Wait
from greenroom.domain.decide import decide
from greenroom.domain.model import Verdict
from greenroom.domain.observation import QUICK, SOON, Seen, needs
from greenroom.domain.opinion import Finding
from greenroom.domain.phases import Status
from greenroom.domain.records import Entry, Finished, Judged, Outcome, Record, Requested, Started
from greenroom.domain.release import Service
from greenroom.domain.replay import fold
from greenroom.domain.status import sentence, status_of
from greenroom.engine.act import Result, key_of, perform
from greenroom.engine.fanout import Fan, Inline
from greenroom.engine.lease import Keeper
from greenroom.engine.look import Looker, explain
from greenroom.engine.recorder import Recorder
from greenroom.engine.world import Adapters
from greenroom.errors import Conflict, GreenroomError, JournalError, LeaseLost
from greenroom.ports import ActionKey, Clock, Journal, Lease

log = logging.getLogger(__name__)

FIRST_RETRY, LONGEST_RETRY = 0.5, 10.0
"""Seconds before the same action is tried again; doubled each time."""

REMIND = 60.0
"""Seconds after which a series of equal results is written down again. A loop of an hour writes an hour's minutes."""

QUICKEST, SLOWEST = 0.05, 2.0
"""Seconds between two looks."""

FOLLOWED = 15.0
"""Seconds after an act for which its effects are looked for as often as they can be."""

CIRCLES = 5
"""Times a minute that the same may be done to the world without a pause."""

ASKED_IN_VAIN = 5
"""Times that a check may fail to answer before that is its answer: unknown."""


@dataclass(slots=True)
class _Series:
    """The same action, again and again. `times`: how often it had this outcome in a row."""

    action: Action
    outcome: Outcome
    again_at: float
    written: float
    times: int = 1


class Reconciler:
    """Brings one service to where its journal wants it. `adapters_for` may raise: then nothing can be seen or done."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        keeper: Keeper,
        adapters_for: Callable[[Service], Adapters],
        clock: Clock,
        *,
        fan: Fan | None = None,
        probes: Fan | None = None,
        deciding: Callable[[Service, Seen, float], Decision] = decide,
        recorder: Recorder | None = None,
    ) -> None:
        self.name, self.service = name, Service()
        self.decision: Decision | None = None
        self.seen: Seen | None = None
        self._journal, self._keeper, self._adapters_for, self._clock = journal, keeper, adapters_for, clock
        self._looker = Looker(fan or Inline(), probes or Inline(), clock, recorder=recorder)
        self._deciding = deciding
        self._series: dict[tuple[str, str], _Series] = {}
        self._asks: dict[str, tuple[float, float, int]] = {}
        self._acts: dict[tuple[str, str], list[float]] = {}
        self._scope: tuple[object, ...] = ()
        self._last_written: tuple[Record, float] | None = None
        self._acted = float("-inf")
        self._trouble = 0
        self._complaint = ""
        self.unusable: JournalError | None = None
        """Why the journal could not be used in the last turn."""

    # --- one turn ---------------------------------------------------------------------------------------------

    def step(self) -> float:
        """One turn; returns the seconds until the next is worth it. Never raises: trouble is logged and waited out."""
        try:
            pause = self._turn()
        except LeaseLost as error:
            self._keeper.dropped()
            return self._troubled(f"the lease was lost: {error}")
        except Conflict:
            return 0.0
        except JournalError as error:
            self.unusable = error
            return self._troubled(f"the journal: {explain(error)}")
        except Exception as error:
            if explain(error) != self._complaint:
                log.exception("%s: an error that nobody foresaw; nothing is done until it is gone", self.name)
            return self._troubled(explain(error))
        self._trouble, self._complaint, self.unusable = 0, "", None
        return pause

    def _turn(self) -> float:
        lease = self._keeper.hold()
        if lease is None:
            other = self._keeper.other
            left = other.expires - self._journal.now() if other else 1.0
            return min(max(left, QUICKEST), 1.0)
        self._replay()
        adapters = self._decide()
        if self._looker.partly and _weighty(self.decision):
            self._looker.forget()
            adapters = self._decide()
        if note := self._stuck():
            return self._write(note, lease)
        match decision := self.decision:
            case Do(action):
                return self._do(action, adapters, lease) if adapters is not None else SLOWEST
            case Move(record) | Note(record):
                return self._write(record, lease)
            case Wait(_, until):
                return self._patience(until)
            case None:
                return SLOWEST
            case _:
                assert_never(decision)

    @property
    def trouble(self) -> str:
        """Why the last turn came to nothing; "" if it did not."""
        return self._complaint

    def poked(self) -> bool:
        """Is there something in the journal that the last turn did not see?"""
        try:
            return bool(self._journal.read(self.service.seq))
        except JournalError:
            return False

    def close(self) -> None:
        """Between two turns: give the lease back."""
        self._keeper.give_back()

    def _replay(self) -> None:
        self._learn(self._journal.read(self.service.seq))
        release = self.service.running
        scope = (release.id, release.phase, release.step) if release else ()
        if scope != self._scope:
            self._scope = scope
            self._series.clear()
            self._asks.clear()

    def _learn(self, entries: Sequence[Entry]) -> None:
        """What stands in the journal. A person's request is no part of a circle: how often does not slow it down."""
        for entry in entries:
            self.service = fold(self.service, entry)
            if isinstance(entry.record, Requested):
                self._acts.clear()

    def _decide(self) -> Adapters | None:
        """Look and decide. Without adapters nothing can be seen, and that is decided on."""
        adapters: Adapters | None = None
        try:
            adapters = self._adapters_for(self.service)
            seen = self._looker.see(self.service, adapters, self._journal.now(), at_most=self._pace())
        except GreenroomError as error:
            seen = Seen(unseen=dict.fromkeys(needs(self.service, self._journal.now()), explain(error)))
        self.seen = seen
        self.decision = self._deciding(self.service, seen, self._journal.now())
        return adapters

    def _stuck(self) -> Judged | None:
        """A release that is stuck, or goes on again: written down, so that somebody is told."""
        release = self.service.running
        if release is None:
            return None
        before = release.judgement("stuck")
        known = before is not None and before.verdict is not Verdict.PASS
        now = self._journal.now()
        stuck = status_of(self.service, release, now) is Status.STUCK
        if stuck and not known:
            return Judged(release.id, "stuck", Verdict.UNKNOWN, sentence(self.service, release))
        if known and not stuck:
            return Judged(release.id, "stuck", Verdict.PASS, f"{release.version} goes on")
        return None

    def _patience(self, until: float | None) -> float:
        quickest = min(needs(self.service, self._journal.now()).values(), default=SLOWEST)
        pause = min(max(quickest, SOON), SLOWEST)
        if until is not None:
            pause = min(pause, until - self._journal.now())
        return max(pause, QUICKEST)

    def _pace(self) -> float:
        """Seconds between two looks: while the world follows what was done to it, not as many as in calm."""
        return QUICK if self._clock.now() < self._acted + FOLLOWED else SLOWEST

    def _troubled(self, complaint: str) -> float:
        if complaint != self._complaint:
            log.warning("%s: %s", self.name, complaint)
        self._complaint = complaint
        self._trouble = min(self._trouble + 1, 10)
        return float(min(FIRST_RETRY * 2 ** (self._trouble - 1), LONGEST_RETRY))

    # --- writing ----------------------------------------------------------------------------------------------

    def _write(self, record: Record, lease: Lease) -> float:
        """A decision goes into the journal if it is still at what was decided on; else `Conflict`, and decide again."""
        now = self._clock.now()
        if self._last_written is not None and self._last_written[0] == record:
            left = self._last_written[1] + LONGEST_RETRY - now
            if left > 0:
                log.error("%s: %r changed nothing; it is not written again at once", self.name, record)
                return left
        self._append([record], lease)
        self._last_written = (record, now)
        return 0.0

    def _append(self, records: Sequence[Record], lease: Lease) -> None:
        for entry in self._journal.append(records, expected=self.service.seq, epoch=lease.epoch):
            self.service = fold(self.service, entry)

    def _record(self, records: Sequence[Record], lease: Lease) -> None:
        """What has happened is written whatever a person has asked for meanwhile."""
        while True:
            try:
                return self._append(records, lease)
            except Conflict:
                self._learn(self._journal.read(self.service.seq))

    # --- acting -----------------------------------------------------------------------------------------------

    def _do(self, action: Action, adapters: Adapters, lease: Lease) -> float:
        if isinstance(action, Ask):
            return self._ask(action, adapters, lease)
        name = (action.verb, action.target)
        now = self._clock.now()
        series = self._series.get(name)
        if series is not None and (series.action != action or now > series.again_at + LONGEST_RETRY):
            series = None
        again_at = max(series.again_at if series else now, self._calm(name, now))
        if now < again_at:
            return min(max(again_at - now, QUICKEST), self._patience(None))
        key = key_of(action, self.service, lease.epoch)
        if series is None and str(key) not in self.service.attempts:
            self._append([Started(key.release, action.verb, str(key))], lease)
        current = self._keeper.hold(1 / 2)
        if current is None or current.epoch != lease.epoch:
            raise LeaseLost(f"another engine holds the lease; {action.verb} {action.target} is left to it")
        self._acts.setdefault(name, []).append(now)
        result = perform(action, key, self.service, adapters, self._journal.now())
        self._looker.forget()
        self._acted = now
        self._series[name] = self._result(action, key, result, series, lease)
        return 0.0

    def _calm(self, name: tuple[str, str], now: float) -> float:
        """When this may be done again, whatever is decided: doing and undoing in a circle becomes ever slower."""
        times = self._acts[name] = [at for at in self._acts.get(name, ()) if now - at < REMIND]
        if len(times) < CIRCLES:
            return now
        return times[-1] + float(min(FIRST_RETRY * 2 ** (len(times) - CIRCLES), LONGEST_RETRY))

    def _result(self, action: Action, key: ActionKey, result: Result, series: _Series | None, lease: Lease) -> _Series:
        """Write what came of it, unless it is what came of it the last time, and say when it may be tried again."""
        now = self._clock.now()
        repeated = series is not None and series.outcome is result.outcome
        times = series.times + 1 if series is not None and repeated else 1
        pause = min(FIRST_RETRY * 2 ** (times - 1), LONGEST_RETRY)
        again_at = now + max(pause, min(result.retry_after, 60.0))
        if series is not None and repeated and now < series.written + REMIND:
            return replace(series, again_at=again_at, times=times)
        finished = Finished(key.release, action.verb, str(key), result.outcome, result.detail)
        begun = [] if str(key) in self.service.attempts else [Started(key.release, action.verb, str(key))]
        self._record([*begun, finished], lease)
        return _Series(action, result.outcome, again_at, now, times)

    # --- asking -----------------------------------------------------------------------------------------------

    def _ask(self, action: Ask, adapters: Adapters, lease: Lease) -> float:
        """Ask a check when it wants to be asked; write down only what changed."""
        now = self._clock.now()
        again_at, written, vain = self._asks.get(action.subject, (now, -REMIND, 0))
        if now < again_at:
            return min(max(again_at - now, QUICKEST), self._patience(None))
        key = key_of(action, self.service, lease.epoch)
        if str(key) not in self.service.attempts:
            self._append([Started(key.release, action.verb, str(key))], lease)
        result = perform(action, key, self.service, adapters, self._journal.now())
        finding = result.finding or Finding(Verdict.UNKNOWN, result.detail)
        vain = vain + 1 if result.outcome is not Outcome.DONE else 0
        if result.outcome in (Outcome.TEMPORARY, Outcome.UNCERTAIN) and vain < ASKED_IN_VAIN:
            finding = replace(finding, verdict=Verdict.WAIT)
        if self._is_news(action, finding) or now >= written + REMIND:
            self._record([_judged(key.release, action, finding)], lease)
            written = now
        self._asks[action.subject] = (now + max(finding.again_after, QUICKEST), written, vain)
        return 0.0

    def _is_news(self, action: Ask, finding: Finding) -> bool:
        release, before = self.service.running, self.service.judgement(action.subject)
        gate = release.asking if release is not None and action.gate else None
        heard = release is not None and gate is not None and release.unheard(gate)
        return before is None or heard or before.verdict is not finding.verdict or before.memo != finding.memo


def _weighty(decision: Decision | None) -> bool:
    """Nothing is done to the world, and no phase is left, on what was seen a while ago."""
    return isinstance(decision, Move) or (isinstance(decision, Do) and not isinstance(decision.action, Ask))


def _judged(release: str, action: Ask, finding: Finding) -> Judged:
    reason = "\n".join((finding.reason, *finding.evidence)) if finding.verdict is not Verdict.PASS else finding.reason
    return Judged(release, action.subject, finding.verdict, reason, finding.memo)
