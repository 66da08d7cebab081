"""The sources of the analysis: each is asked at its own pace, beside the loop, which never waits for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from greenroom.domain.figures import Reading
from greenroom.domain.plan import Rule
from greenroom.domain.release import Deployed, Release
from greenroom.engine.fanout import Fan
from greenroom.engine.world import Gauge
from greenroom.ports import About, Clock

KEPT = 400
"""Readings of one source that are remembered."""

LEAST_WINDOW = 30.0
"""Seconds over which a source is asked to look back, at least: most of them count once in 15."""


class Readings:
    """Of one release. `reset` when another begins, or when its share of the traffic changes."""

    def __init__(self, fan: Fan, clock: Clock) -> None:
        self._fan, self._clock = fan, clock
        self._round = 0
        self._due: dict[str, float] = {}
        self._kept: dict[str, deque[Reading]] = {}

    def reset(self) -> None:
        self._round += 1
        self._due.clear()
        self._kept.clear()

    def look(self, name: str, release: Release, gauges: Mapping[str, Gauge]) -> Mapping[str, tuple[Reading, ...]]:
        """What each source has said so far. `name`: the service's."""
        at = self._clock.now()
        rules = {rule.source: rule for rule in release.plan.rules if rule.source in gauges}
        for source, rule in rules.items():
            # What a source says right after the first request is of the time before it.
            if at >= self._due.setdefault(source, at + rule.every):
                self._fan.begin(f"source:{source}", _asking(gauges[source], name, release, rule), self._round)
        for key, result in self._fan.collect([f"source:{source}" for source in rules], 0.0).items():
            source = key.removeprefix("source:")
            if result.tag != self._round:
                continue
            reading = result.value if result.error is None else Reading(at, problem=str(result.error))
            self._kept.setdefault(source, deque(maxlen=KEPT)).append(replace(reading, at=at))
            self._due[source] = at + rules[source].every
        return {source: tuple(kept) for source, kept in self._kept.items()}


def _asking(gauge: Gauge, name: str, release: Release, rule: Rule) -> Callable[[], Reading]:
    window = max(rule.every, LEAST_WINDOW)
    candidate = _about(name, release.deployed(0.0), rule, window)
    baseline = _about(name, release.baseline, rule, window) if release.baseline is not None else None
    return lambda: gauge.read(candidate, baseline)


def _about(name: str, deployed: Deployed, rule: Rule, window: float) -> About:
    metric = "" if rule.query else rule.metric
    return About(name, deployed.colour, deployed.version, deployed.release, window, metric, rule.query)
