"""How often is a good release accused, and how fast is a bad one found? Simulated traffic, of which the truth is known.

Thousands of good releases in noise (heavy tails, bursts, drift, warm-up), judged by the rules that the guide recommends and
by those that are in force without `analysis:`. Then four kinds of bad release at 200 requests a second, all of them on the
new version, beside what Flagger and Argo Rollouts do on the same simulated traffic with the values of their documentation:
simulated by their stated rules, not run.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from bench.common import Goal, Result, main, plain
from bench.simulated import CANDIDATE, FAULTS, Counted, Fault, Outcome, bad, counted, good, played
from greenroom.config.schema import DEFAULT_RULES
from greenroom.demo.table import columns
from greenroom.domain.figures import Figures
from greenroom.domain.history import difference, quantile
from greenroom.domain.plan import Rule
from greenroom.domain.statistics import clopper_pearson

GOOD, BAD = 10_000, 30

GUIDE = (
    Rule("error_rate", max=0.05, min_requests=50),
    Rule("error_rate", max_ratio=2.0, confidence=0.999),
    Rule("p50", max_ratio=2.0, confidence=0.999, warm_up=10.0),
    Rule("p99", max_ratio=2.0, confidence=0.999, warm_up=10.0),
)
"""Of docs/guides/analysis.md."""

AT_ONCE = tuple(replace(rule, warm_up=0.0) for rule in GUIDE)
RULES = {"the guide's rules": GUIDE, "no `analysis:`": DEFAULT_RULES}

Field = Callable[[Counted], Outcome]


def run(quick: bool) -> Result:
    runs, each = (200, 5) if quick else (GOOD, BAD)
    alarms = _alarms(runs)
    rows, data = [], {}
    for fault in FAULTS:
        for name, judge in JUDGES:
            outcomes = [judge(seed, fault) for seed in range(each)]
            rows.append([fault.name, name, *_told(outcomes)])
            data[f"{fault.name} | {name}"] = [[o.at, o.bad] for o in outcomes]
    return _result(alarms, runs, each, rows, data)


def _alarms(runs: int) -> dict[str, list[tuple[int, float, str]]]:
    """By rules: (seed, when, why) of good releases that were accused."""
    with ProcessPoolExecutor(max_workers=max(1, (os.cpu_count() or 2))) as pool:
        found = list(pool.map(accused, range(runs), chunksize=20))
    return {name: [(seed, *one[name]) for seed, one in enumerate(found) if name in one] for name in RULES}


def accused(seed: int) -> dict[str, tuple[float, str]]:
    """By rules: when and why this good release was accused."""
    seen = counted(good(seed), 0.5)
    found = {name: played(seen, rules) for name, rules in RULES.items()}
    return {name: (outcome.at, outcome.reason) for name, outcome in found.items() if outcome.at is not None}


def _greenroom(rules: Sequence[Rule], seed: int, fault: Fault) -> Outcome:
    return played(counted(bad(seed, fault)), rules)


def _long(seed: int, fault: Fault) -> Counted:
    """Twenty-six minutes of it."""
    return counted(replace(bad(seed, fault), steps=((1.0, 1560.0),)), 1.0)


def _flagger(seed: int, fault: Fault) -> Outcome:
    """`interval: 1m`, `threshold: 5`; success rate at least 99 %, p99 at most 500 ms, each over 1 minute."""

    def wrong(figures: Figures) -> bool:
        slow = quantile(figures, 0.99)
        return figures.errors > 0.01 * figures.requests or (slow is not None and slow > 500)

    return _periodic(_long(seed, fault), 60.0, 60.0, 5, wrong)


def _argo(limit: int, seed: int, fault: Fault) -> Outcome:
    """`interval: 5m`, success rate at least 95 % (`irate`: the last two scrapes, 15 s); fails with more than `limit`."""
    return _periodic(_long(seed, fault), 300.0, 15.0, limit + 1, lambda f: f.errors > 0.05 * f.requests)


def _periodic(
    seen: Counted, interval: float, window: float, failures: int, wrong: Callable[[Figures], bool]
) -> Outcome:
    at = {round(m.at): (index, m) for index, m in enumerate(seen.measurements)}
    count, moment = 0, interval
    while round(moment) in at:
        index, now = at[round(moment)]
        before = at[round(moment - window)][1]
        count += wrong(difference(before.of(CANDIDATE), now.of(CANDIDATE)))
        if count >= failures:
            return Outcome(moment, "", seen.bad[index])
        moment += interval
    return Outcome(None, "", seen.bad[-1])


JUDGES: tuple[tuple[str, Callable[[int, Fault], Outcome]], ...] = (
    ("Greenroom, the guide's rules", partial(_greenroom, GUIDE)),
    ("Greenroom, without `warm_up`", partial(_greenroom, AT_ONCE)),
    ("Greenroom, no `analysis:`", partial(_greenroom, DEFAULT_RULES)),
    ("Flagger (1m, threshold 5)", _flagger),
    ("Argo Rollouts (5m, failureLimit 0)", partial(_argo, 0)),
    ("Argo Rollouts (5m, failureLimit 3)", partial(_argo, 3)),
)


def _told(outcomes: Sequence[Outcome]) -> list[str]:
    times = [o.at for o in outcomes if o.at is not None]
    found = f"{len(times)} of {len(outcomes)}"
    if not times:
        return [found, "—", "—", "—"]
    harmed = statistics.median(o.bad for o in outcomes if o.at is not None)
    return [found, f"{plain(statistics.median(times))} s", f"{plain(max(times))} s", plain(harmed)]


def _result(
    alarms: dict[str, list[tuple[int, float, str]]], runs: int, each: int, rows: list[list[str]], data: dict[str, Any]
) -> Result:
    body, goals = [], []
    for name, found in alarms.items():
        low, high = clopper_pearson(len(found), runs)
        body.append(
            [name, str(len(found)), f"{100 * len(found) / runs:.2f} %", f"{100 * low:.3f} to {100 * high:.3f} %"]
        )
        goals.append(Goal(f"good releases accused, upper end of the interval, {name}", 100 * high, 1.0, "%"))
    for fault in FAULTS:
        seen = [at for at, _ in data[f"{fault.name} | Greenroom, the guide's rules"] if at is not None]
        goals.append(Goal(f"found: {fault.name}", len(seen), each, least=True))
    text = "\n".join([
        f"{runs} simulated good releases with noise; accused:",
        "",
        columns(["rules", "accused", "share", "95 % interval (Clopper–Pearson)"], body),
        "",
        f"{each} simulated bad releases of each kind, 200 requests/s, all on the new version from the first second on;",
        "a bad answer failed or was slowed down; Flagger and Argo Rollouts are simulated by their documented rules:",
        "",
        columns(["fault", "judge", "found", "median", "latest", "bad answers"], rows),
    ])  # fmt: skip
    data["alarms"] = {name: [list(alarm) for alarm in found] for name, found in alarms.items()}
    return Result("judge", goals, text, {"good": runs, "bad": each, **data})


if __name__ == "__main__":
    sys.exit(main(run))
