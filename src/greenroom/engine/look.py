"""The look: ask the ports for the facts that the next decision needs, side by side, each within its time.

A look never raises. What could not be had is `unseen`, with the reason: no data is its own answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from greenroom.domain.assess import History
from greenroom.domain.figures import Measurement, Reading
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.observation import Need, Seen, Watched, needs
from greenroom.domain.opinion import Finding
from greenroom.domain.release import Service
from greenroom.engine.fanout import Fan, Result
from greenroom.engine.readings import Readings
from greenroom.engine.recorder import Recorded, Recorder
from greenroom.engine.world import Adapters, case_of
from greenroom.errors import GreenroomError
from greenroom.ports import Check, Clock, Paced

ANSWER_WITHIN = 3.0
"""Seconds that one look waits for a port. Later answers are used by a later look."""

BLIND = 1.0
"""Seconds until a port that could not answer is asked again."""


@dataclass(frozen=True, slots=True)
class _Fact:
    value: Any
    at: float
    missing: str = ""


class Looker:
    """Keeps what was seen while it is fresh enough, the measurements of one release, and its watches."""

    def __init__(
        self, fan: Fan, probes: Fan, clock: Clock, within: float = ANSWER_WITHIN, recorder: Recorder | None = None
    ) -> None:
        self._fan, self._clock, self._within, self._recorder = fan, clock, within, recorder
        self._facts: dict[Need, _Fact] = {}
        self._late: dict[Need, float] = {}
        self._glance = 0
        self._anew = True
        self.partly = False
        """The last look used facts of an earlier one."""
        self._release = ""
        self._history = History()
        self._recorded: Measurement | None = None
        self._watcher = Watcher(probes, clock)
        self._readings = Readings(probes, clock)
        self._step = -1

    def forget(self) -> None:
        """What was seen before, or is being looked at just now, counts no more."""
        self._facts.clear()
        self._glance += 1
        self._anew = True

    def see(self, service: Service, adapters: Adapters, now: float, *, at_most: float = 60.0) -> Seen:
        """Every needed fact, none older than `needs` and `at_most` allow. `now`: on the journal's clock."""
        release = service.running.id if service.running else ""
        if release != self._release:
            self._release, self._history = release, History()
            self._watcher.reset()
            self.forget()
        if (step := _step_of(service)) != self._step:
            self._step = step
            self._readings.reset()
        wanted = needs(service, now)
        calls = {n: call for n in wanted if (call := _call(n, service, adapters)) is not None}
        stale = {need: call for need, call in calls.items() if not self._fresh(need, min(wanted[need], at_most))}
        anew = self._look_anew(adapters)
        self.partly = len(stale) < len(calls) or not anew
        self._refresh(stale)
        self._record(service, now)
        watched: Mapping[str, Watched] = {}
        if Need.WATCHES in wanted and adapters.watches:
            watched = self._watcher.look(service, adapters, now)
        read: Mapping[str, tuple[Reading, ...]] = {}
        if Need.MEASUREMENT in wanted and adapters.gauges and service.running and service.running.live_since:
            read = self._readings.look(adapters.name, service.running, adapters.gauges)
        return self._seen(calls, watched, read)

    def _look_anew(self, adapters: Adapters) -> bool:
        """Nobody answers as they saw things a while ago."""
        paced = [part for part in (adapters.environment, adapters.router) if isinstance(part, Paced)]
        if self._anew:
            for part in paced:
                part.anew()
        anew, self._anew = self._anew, False
        return anew or not paced

    def _fresh(self, need: Need, age: float) -> bool:
        fact = self._facts.get(need)
        if fact is None:
            return False
        return self._clock.now() - fact.at < (max(age, BLIND) if fact.missing else age)

    def _refresh(self, calls: Mapping[Need, Callable[[], Any]]) -> None:
        """Ask, wait for the answers; not again for a port that left us waiting before."""
        begun = self._clock.now()
        pending = dict(calls)
        late = {need for need in calls if need in self._late}
        while True:
            for need, call in pending.items():
                self._fan.begin(need, call, self._glance)
                self._late.setdefault(need, begun)
            left = max(0.0, begun + self._within - self._clock.now())
            prompt = [need for need in pending if need not in late]
            answers = {**self._fan.collect(prompt, left), **self._fan.collect(late & pending.keys(), 0.0)}
            for name, result in answers.items():
                need = Need(name)
                self._late.pop(need, None)
                late.discard(need)
                if result.tag == self._glance:  # else it was begun before something was done: ask again
                    self._keep(need, result, begun)
                    del pending[need]
            if pending.keys() <= late or self._clock.now() >= begun + self._within:
                break
        for need in pending:
            waited = self._clock.now() - self._late.get(need, begun)
            self._facts[need] = _Fact(None, begun, f"no answer for {waited:.0f} s")

    def _keep(self, need: Need, result: Result, at: float) -> None:
        if result.error is not None:
            self._facts[need] = _Fact(None, at, explain(result.error))
            return
        self._facts[need] = _Fact(result.value, at)
        if need is Need.MEASUREMENT:
            self._history = self._history.add(result.value)

    def _record(self, service: Service, now: float) -> None:
        """What was measured last is kept, with the share that the candidate had at that time."""
        measured, release = self._history.raw, service.running
        if self._recorder is None or release is None or measured is None or measured is self._recorded:
            return
        self._recorded = measured
        routing = self._facts.get(Need.ROUTING)
        live = routing.value.live if routing is not None and routing.value is not None else None
        self._recorder.add(release.id, Recorded(now, None if live is None else live.of(release.colour), measured))

    def _seen(
        self, calls: Mapping[Need, object], watched: Mapping[str, Watched], read: Mapping[str, tuple[Reading, ...]]
    ) -> Seen:
        facts = {need: self._facts[need] for need in calls}

        def value(need: Need) -> Any:
            return facts[need].value if need in facts else None

        return Seen(
            artefact=value(Need.ARTEFACT),
            blue=value(Need.BLUE),
            green=value(Need.GREEN),
            routing=value(Need.ROUTING),
            history=self._history,
            watches=watched,
            readings=read,
            unseen={need: fact.missing for need, fact in facts.items() if fact.missing},
        )


def _step_of(service: Service) -> int:
    """Of the shift; what was read under another share of the traffic says nothing of this one."""
    release = service.running
    return release.step if release is not None and release.live_since is not None else -1


def _call(need: Need, service: Service, adapters: Adapters) -> Callable[[], Any] | None:
    match need:
        case Need.ARTEFACT:
            release = service.running
            return None if release is None else lambda: adapters.artefact.observe(release.artefact_spec())
        case Need.BLUE:
            return lambda: adapters.environment.observe(Colour.BLUE)
        case Need.GREEN:
            return lambda: adapters.environment.observe(Colour.GREEN)
        case Need.ROUTING:
            return adapters.router.observe
        case Need.MEASUREMENT:
            return None if adapters.analyser is None else adapters.analyser.measure
        case Need.WATCHES:
            return None


def explain(error: Exception) -> str:
    """Why, for a person: our own errors speak for themselves, others name their kind."""
    if isinstance(error, GreenroomError):
        return error.message
    return f"{type(error).__name__}: {error}"


class Watcher:
    """Asks each watch at its own pace, beside the loop; never waits for one."""

    def __init__(self, fan: Fan, clock: Clock) -> None:
        self._fan, self._clock = fan, clock
        self._round = 0
        self._due: dict[str, float] = {}
        self._last: dict[str, Watched] = {}

    def reset(self) -> None:
        """Another release: old answers, also those on their way, mean nothing for it."""
        self._round += 1
        self._due.clear()
        self._last.clear()

    def look(self, service: Service, adapters: Adapters, now: float) -> Mapping[str, Watched]:
        at = self._clock.now()
        for name, watch in adapters.watches.items():
            if at >= self._due.get(name, at):
                self._fan.begin(name, _asking(watch, service, adapters, now), self._round)
        for name, result in self._fan.collect(adapters.watches, 0.0).items():
            if result.tag == self._round:
                self._keep(name, result, at, now)
        return dict(self._last)

    def _keep(self, name: str, result: Result, at: float, now: float) -> None:
        if result.error is not None:
            finding = Finding(Verdict.UNKNOWN, explain(result.error))
        else:
            finding = result.value
        before = self._last[name].failures if name in self._last else 0
        match finding.verdict:
            case Verdict.FAIL:
                failures = before + 1
            case Verdict.PASS:
                failures = 0
            case _:
                failures = before
        self._last[name] = Watched(finding, now, failures)
        self._due[name] = at + (finding.again_after or 1.0)


def _asking(watch: Check, service: Service, adapters: Adapters, now: float) -> Callable[[], Finding]:
    return lambda: watch.ask(case_of(service, adapters, now, test=False), None)
